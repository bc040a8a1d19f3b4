package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/node"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

func connect(t testing.TB, n *node.Node) *nats.Conn {
	t.Helper()
	nc, err := n.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

func open(t testing.TB, nc *nats.Conn, c ledger.Config) *ledger.Log {
	t.Helper()
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	var l *ledger.Log
	testkit.Eventually(t, 10*time.Second, func() (err error) { // a fresh cluster may not know the account yet
		l, err = ledger.Open(t.Context(), nc, c)
		return err
	})
	t.Cleanup(l.Close)
	return l
}

// single is a ledger on an embedded server whose acknowledgement is enough.
func single(t testing.TB) *ledger.Log {
	t.Helper()
	return open(t, connect(t, testkit.StartNode(t, t.TempDir())), ledger.Config{})
}

// event makes an event that follows last.
func event(intercom string, last events.Stored) events.Event {
	id := ulid.Make().String()
	e, err := events.New(id, events.Configured, events.ByOperator, events.ViaCLI, id, events.ConfiguredData{EntryDevice: "gate", Limit: 1})
	if err != nil {
		panic(err) // the data always encodes
	}
	return e.Chained(intercom, last.Link(), time.Now())
}

func prepare(t testing.TB, intercom string, last events.Stored) *ledger.Pending {
	t.Helper()
	p, err := ledger.Prepare(event(intercom, last), last.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// grow appends n events of an intercom that is at last.
func grow(t testing.TB, l *ledger.Log, intercom string, last events.Stored, n int) events.Stored {
	t.Helper()
	for range n {
		var err error
		if last, err = l.Append(t.Context(), prepare(t, intercom, last)); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

func sequences(ctx context.Context, l *ledger.Log, r ledger.Range) ([]uint64, error) {
	got := []uint64{}
	err := l.ReadRaw(ctx, r, func(m ledger.Raw) error {
		got = append(got, m.Sequence)
		return nil
	})
	return got, err
}

func stream(t testing.TB, l *ledger.Log) jetstream.Stream {
	t.Helper()
	s, err := l.JetStream().Stream(t.Context(), events.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reconfigure changes the stream behind the ledger's back.
func reconfigure(t testing.TB, l *ledger.Log, change func(*jetstream.StreamConfig)) {
	t.Helper()
	info, err := stream(t, l).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := info.Config
	change(&c)
	if _, err := l.JetStream().UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// plainServer is a server that is reached over TCP, without accounts.
func plainServer(t testing.TB) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(5 * time.Second) {
		t.Fatal("server is not ready")
	}
	return srv.ClientURL()
}

// faulty is a line to a server that loses what it is told to.
type faulty struct {
	dropAppends, dropAcks atomic.Bool
	lost                  atomic.Int64
}

func (f *faulty) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &faultyConn{c, f}, err
}

func (f *faulty) connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.SetCustomDialer(f))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

type faultyConn struct {
	net.Conn
	f *faulty
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if c.f.dropAppends.Load() && bytes.Contains(p, []byte("HPUB ledger.")) {
		c.f.lost.Add(1)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err == nil && c.f.dropAcks.Load() && bytes.Contains(p[:n], []byte(`"stream":"LEDGER"`)) {
			c.f.lost.Add(1)
			continue
		}
		return n, err
	}
}

func mustName(t testing.TB, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not name %q", err, w)
		}
	}
}
