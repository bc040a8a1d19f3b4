package intercom_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/intercom"
	"gatebook/intercom/gate"
	"gatebook/ops/testkit"
	"gatebook/projections"
)

const gateID = "gate"

// soon is how long a test waits for what should happen at once, on a machine
// that does other things as well.
const soon = 30 * time.Second

// rig is a NATS server that knows one enrolled intercom, its ledger, and the
// gate devices.
type rig struct {
	t      testing.TB
	srv    *server.Server
	opts   *server.Options
	url    string
	ledger *fakeLedger
	gate   *device
	dir    string
	creds  intercom.Credentials
	file   []byte
	log    *logbook

	resolver *server.MemAccResolver
	operator nkeys.KeyPair
	account  nkeys.KeyPair
	claims   *jwt.AccountClaims
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), gate: newDevice(t), log: newLogbook(t), resolver: &server.MemAccResolver{}}
	r.operator, r.account = pair(t, nkeys.PrefixByteOperator), pair(t, nkeys.PrefixByteAccount)
	r.claims = jwt.NewAccountClaims(public(t, r.account))
	r.storeAccount()
	r.opts = &server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, AccountResolver: r.resolver,
		TrustedKeys: []string{public(t, r.operator)},
	}
	r.startServer()
	t.Cleanup(func() { r.srv.Shutdown() })

	key, err := seal.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ledgerJWT, ledgerSeed := r.user("ledger", jwt.Permissions{})
	r.ledger = newFakeLedger(t, r.url, []nats.Option{nats.UserJWTAndSeed(ledgerJWT, string(ledgerSeed))}, gateID, key)
	r.enroll(key)
	return r
}

func (r *rig) startServer() {
	r.t.Helper()
	srv, err := server.NewServer(r.opts)
	if err != nil {
		r.t.Fatalf("make server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(soon) {
		r.t.Fatal("the server does not come up")
	}
	r.srv, r.url = srv, srv.ClientURL()
	r.opts.Port = srv.Addr().(*net.TCPAddr).Port
}

func (r *rig) storeAccount() {
	token, err := r.claims.Encode(r.operator)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.resolver.Store(r.claims.Subject, token); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) user(name string, p jwt.Permissions) (token string, seed []byte) {
	r.t.Helper()
	kp := pair(r.t, nkeys.PrefixByteUser)
	claims := jwt.NewUserClaims(public(r.t, kp))
	claims.Name, claims.Permissions = name, p
	token, err := claims.Encode(r.account)
	if err != nil {
		r.t.Fatal(err)
	}
	seed, err = kp.Seed()
	if err != nil {
		r.t.Fatal(err)
	}
	return token, seed
}

func (r *rig) enroll(key seal.Key) {
	r.t.Helper()
	kp := pair(r.t, nkeys.PrefixByteUser)
	claims := jwt.NewUserClaims(public(r.t, kp))
	claims.Name = "i-" + gateID
	claims.Pub.Allow = jwt.StringList{"cmd." + gateID + ".*.i-" + gateID}
	claims.Sub.Allow = jwt.StringList{events.Live(gateID), events.IntercomInbox(gateID, claims.Subject) + ".>"}
	token, err := claims.Encode(r.account)
	if err != nil {
		r.t.Fatal(err)
	}
	seed, err := kp.Seed()
	if err != nil {
		r.t.Fatal(err)
	}
	r.file = intercom.FormatCredentials(token, seed, key[:])
	if r.creds, err = intercom.ParseCredentials(r.file); err != nil {
		r.t.Fatalf("parse what was formatted: %v", err)
	}
}

// disenroll ends the intercom's credentials on the running server.
func (r *rig) disenroll() {
	r.t.Helper()
	r.claims.Revoke(r.creds.PublicKey)
	r.storeAccount()
	account, err := r.srv.LookupAccount(r.claims.Subject)
	if err != nil {
		r.t.Fatal(err)
	}
	r.srv.UpdateAccountClaims(account, r.claims)
}

func pair(t testing.TB, kind nkeys.PrefixByte) nkeys.KeyPair {
	t.Helper()
	kp, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

func public(t testing.TB, kp nkeys.KeyPair) string {
	t.Helper()
	key, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// config is that of an intercom on the rig.
func (r *rig) config() intercom.Config {
	r.t.Helper()
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	gates, err := gate.ParseGates([]string{front + "=" + r.gate.url, back + "=" + r.gate.url}, log, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return intercom.Config{URL: r.url, Credentials: r.creds, StateDir: r.dir, Gates: gates, Log: log}
}

// start starts an intercom; the test may close it earlier itself.
func (r *rig) start(change ...func(*intercom.Config)) *intercom.Intercom {
	r.t.Helper()
	c := r.config()
	for _, f := range change {
		f(&c)
	}
	i, err := intercom.Start(context.Background(), c)
	if err != nil {
		r.t.Fatalf("start: %v", err)
	}
	r.t.Cleanup(func() { _ = i.Close() })
	return i
}

// level waits until the intercom has caught up with the ledger.
func (r *rig) level(i *intercom.Intercom) {
	r.t.Helper()
	r.applied(i, r.ledger.revision())
}

func (r *rig) applied(i *intercom.Intercom, revision uint64) {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() error {
		if s := i.Status(); !s.Connected || !s.Current || s.Revision != revision {
			return fmt.Errorf("status %+v, want revision %d", s, revision)
		}
		return nil
	})
}

// synced waits for a catch-up that began after the call.
func (r *rig) synced() {
	r.t.Helper()
	count := func() int { r.ledger.mu.Lock(); defer r.ledger.mu.Unlock(); return len(r.ledger.syncs) }
	before := count()
	testkit.Eventually(r.t, soon, func() error {
		if count() < before+1 {
			return fmt.Errorf("no catch-up since")
		}
		return nil
	})
}

func try(i *intercom.Intercom, line string) intercom.Decision {
	return i.Try(context.Background(), line)
}

func wantReject(t testing.TB, d intercom.Decision, r projections.Reason) {
	t.Helper()
	if d.Decision != "reject" || d.Reason != r || d.Gate != "" {
		t.Errorf("got %+v, want a reject for %s", d, r)
	}
}

func wantOpen(t testing.TB, d intercom.Decision, way projections.Direction, o gate.Outcome) {
	t.Helper()
	if d.Decision != "open" || d.Reason != "" || d.Direction != way || d.Gate != o {
		t.Errorf("got %+v, want an open for %s with gate %s", d, way, o)
	}
}

// device is a gate that speaks HTTP and writes down what it was told.
type device struct {
	url    string
	mu     sync.Mutex
	orders []string
	status int
	onTold func()
}

func newDevice(t testing.TB) *device {
	d := &device{status: http.StatusOK, onTold: func() {}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		d.mu.Lock()
		d.orders = append(d.orders, string(body))
		status, told := d.status, d.onTold
		d.mu.Unlock()
		told()
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

func (d *device) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *device) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.orders...)
}

// logbook keeps everything that is logged, and fails the test if any digits
// that were tried are in it.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func newLogbook(t testing.TB) *logbook {
	b := new(logbook)
	t.Cleanup(func() {
		said := b.String()
		// The time of a line has four digits of its own.
		said = regexp.MustCompile(`time=\S+`).ReplaceAllString(said, "")
		if found := regexp.MustCompile(`\b(4711|4712|5823|6934|7045)\b`).FindString(said); found != "" {
			t.Errorf("digits are in the log:\n%s", said)
		}
		if t.Failed() {
			t.Logf("log:\n%s", said)
		}
	})
	return b
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logbook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logbook) says(what string) error {
	if !strings.Contains(b.String(), what) {
		return fmt.Errorf("the log does not say %q", what)
	}
	return nil
}

// proxy stands between the intercom and the server, and can fall silent
// without closing anything.
type proxy struct {
	url    string
	silent atomic.Bool
	room   chan struct{}
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "nats://" + ln.Addr().String(), room: make(chan struct{})}
	t.Cleanup(func() { close(p.room); ln.Close() })
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(to, "nats://"))
			if err != nil {
				near.Close()
				continue
			}
			go p.pump(near, far)
			go p.pump(far, near)
		}
	}()
	return p
}

func (p *proxy) pump(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if p.silent.Load() {
			<-p.room // hold on to it, and to the connection, for good
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// fakeBoot is a boot clock that a test can move on.
type fakeBoot struct{ jump atomic.Int64 }

func (b *fakeBoot) now(start time.Time) func() time.Duration {
	return func() time.Duration { return time.Since(start) + time.Duration(b.jump.Load()) }
}
