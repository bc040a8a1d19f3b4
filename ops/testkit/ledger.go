package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatebook/commands"
	"gatebook/commands/service"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/ops/barrier"
	"gatebook/ops/clock"
	"gatebook/ops/node"
)

const ledgerWithin = 30 * time.Second

// Ledger is a whole ledger in this process: it answers requests until the test
// ends.
type Ledger struct {
	Node    *node.Node
	Log     *ledger.Log
	Keys    *seal.Keys
	Master  *seal.Master
	Service *service.Service

	t    testing.TB
	stop func()
}

// LedgerConfig is what of a ledger a test may choose.
type LedgerConfig struct {
	// SyncAlways lets the embedded server fsync each write; without it the
	// ledger shares one barrier. A cluster always syncs each write.
	SyncAlways bool
	// Sync takes the place of the shared barrier of an embedded ledger. Server
	// acknowledgements are taken for durable where it returns nil at once.
	Sync func() error
	// OnSync is told of each run of the barrier.
	OnSync func(waiters int, took time.Duration)
	// Clock is the ledger's time; the machine's clock if nil.
	Clock func() (time.Time, error)
	// Space is the room on the volume; there always is room if nil.
	Space service.Space
	// Log takes what the ledger says; nobody hears it if nil.
	Log *slog.Logger
	// Observe and Fatal are the service's. A ledger that stops by itself fails
	// the test if Fatal is nil.
	Observe func(verb, result string, took time.Duration)
	Fatal   func(error)
}

func ledgerConfig(t testing.TB, opts []func(*LedgerConfig)) LedgerConfig {
	c := LedgerConfig{
		Clock: clock.System().Now,
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Fatal: func(err error) { t.Errorf("the ledger stopped by itself: %v", err) },
	}
	for _, opt := range opts {
		opt(&c)
	}
	return c
}

// StartLedger runs a ledger with a server of its own on dir. After l.Stop and
// l.Node.Close it may be called again on dir.
func StartLedger(t testing.TB, dir string, opts ...func(*LedgerConfig)) *Ledger {
	t.Helper()
	c := ledgerConfig(t, opts)
	if c.Sync == nil && !c.SyncAlways {
		c.Sync = openBarrier(t, dir).Sync // before the server opens the store
	}
	n := StartNode(t, dir, func(nc *node.Config) { nc.SyncAlways, nc.Log = c.SyncAlways, c.Log })
	master, err := seal.LoadMaster(filepath.Join(dir, "master.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	return startLedger(t, c, n, master, 1)
}

// openBarrier needs no server: it makes the store's folder if it is missing.
func openBarrier(t testing.TB, dir string) *barrier.FS {
	t.Helper()
	store := filepath.Join(dir, "jetstream")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	fs, err := barrier.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("close barrier: %v", err)
		}
	})
	return fs
}

// StartLedger runs a ledger on the cluster that shares its streams with others.
// It connects to server i first.
func (c *Cluster) StartLedger(i int, opts ...func(*LedgerConfig)) *Ledger {
	c.t.Helper()
	config := ledgerConfig(c.t, opts)
	config.Sync = nil
	n, err := node.Join(c.ServerURL(i), c.Bundle, config.Log)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { n.Close() })
	master, err := seal.LoadMaster(filepath.Join(filepath.Dir(c.Bundle), "master.key"), true)
	if err != nil {
		c.t.Fatal(err)
	}
	return startLedger(c.t, config, n, master, clusterSize)
}

func startLedger(t testing.TB, c LedgerConfig, n *node.Node, master *seal.Master, replicas int) *Ledger {
	t.Helper()
	l := &Ledger{Node: n, Master: master, t: t}
	if err := l.open(c, replicas); err != nil {
		t.Fatal(err)
	}
	if err := l.Service.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *Ledger) open(c LedgerConfig, replicas int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerWithin)
	defer cancel()
	appends, err1 := l.Node.Ledger()
	reads, err2 := l.Node.Ledger()
	answers, err3 := l.Node.Answers()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	l.Log, err = ledger.Open(ctx, reads, ledger.Config{Replicas: replicas, Sync: c.Sync, OnSync: c.OnSync})
	if err != nil {
		return err
	}
	l.t.Cleanup(l.Log.Close)
	if l.Keys, err = seal.OpenKeys(ctx, l.Log.JetStream(), l.Master, replicas); err != nil {
		return err
	}
	l.Service, err = service.New(ctx, service.Config{
		Appends: appends, Answers: answers, Ledger: l.Log, Keys: l.Keys, Master: l.Master,
		Issuer: l.Node.Issuer(), End: l.Node.Revoke, Space: c.Space, Clock: c.Clock, Rand: rand.Reader,
		Log: c.Log, Shared: !l.Node.Embedded(), Replicas: replicas,
		Observe: c.Observe, Verify: noVerify, Fatal: c.Fatal,
	})
	if err != nil {
		return err
	}
	l.stop = onceOnly(l.stopService)
	l.t.Cleanup(l.stop)
	return nil
}

func noVerify(context.Context, func(done, of uint64)) (commands.VerifyAnswer, error) {
	return commands.VerifyAnswer{}, errors.New("this ledger has no verifier")
}

// Stop answers what it was asked, writes its views, and closes the log. It may
// be called more than once.
func (l *Ledger) Stop() { l.stop() }

func (l *Ledger) stopService() {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerWithin)
	defer cancel()
	if err := l.Service.Stop(ctx); err != nil {
		l.t.Errorf("stop ledger: %v", err)
	}
}

func onceOnly(f func()) func() {
	var done bool
	return func() {
		if !done {
			done = true
			f()
		}
	}
}

// Operator connects as the operator, to any of urls (separated by commas).
func (l *Ledger) Operator(urls string) *nats.Conn {
	l.t.Helper()
	creds, err := l.Node.Issuer().Person(events.Operator.ID)
	if err != nil {
		l.t.Fatal(err)
	}
	nc, err := nats.Connect(urls, nats.UserCredentialBytes(creds), nats.MaxReconnects(-1),
		nats.CustomInboxPrefix(events.PersonInbox(events.Operator.ID)))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(nc.Close)
	return nc
}
