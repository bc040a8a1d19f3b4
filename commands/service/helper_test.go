package service_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/commands/service"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/ops/node"
	"gatebook/ops/testkit"
	"gatebook/projections"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/oklog/ulid/v2"
)

// clock is the system's, moved or broken by a test.
type clock struct {
	moved atomic.Int64
	err   atomic.Pointer[error]
}

func (c *clock) now() (time.Time, error) {
	if err := c.err.Load(); err != nil {
		return time.Time{}, *err
	}
	return time.Now().Add(time.Duration(c.moved.Load())).Round(0).UTC(), nil
}

func (c *clock) move(d time.Duration) { c.moved.Add(int64(d)) }

// house is one ledger process, and who asks it.
type house struct {
	t       testing.TB
	node    *node.Node
	dir     string
	log     *ledger.Log
	service *service.Service
	clock   *clock
	fatal   chan error

	operator *client
}

// setup is what a test may change before a ledger starts.
type setup struct {
	ledger  ledger.Config
	service service.Config
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// serve runs a ledger on a node. The master key lies in dir.
func serve(t testing.TB, n *node.Node, dir string, change func(*setup)) *house {
	t.Helper()
	h := &house{t: t, node: n, dir: dir, clock: &clock{}, fatal: make(chan error, 10)}
	h.start(change)
	t.Cleanup(h.stop)
	h.operator = person(t, n, "operator")
	return h
}

func (h *house) start(change func(*setup)) {
	t, n := h.t, h.node
	t.Helper()
	appends, err1 := n.Ledger()
	answers, err2 := n.Answers()
	master, err3 := seal.LoadMaster(filepath.Join(h.dir, "test.master"), true)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	s := setup{ledger.Config{Replicas: 1}, service.Config{
		Appends: appends, Answers: answers, Master: master, Issuer: n.Issuer(), End: n.Revoke,
		Clock: h.clock.now, Rand: rand.Reader, Log: quiet(), Replicas: 1,
		Fatal: func(err error) { h.fatal <- err },
		Verify: func(context.Context, func(done, of uint64)) (commands.VerifyAnswer, error) {
			return commands.VerifyAnswer{OK: true}, nil
		},
	}}
	if change != nil {
		change(&s)
	}
	s.ledger.Replicas = s.service.Replicas
	testkit.Eventually(t, 10*time.Second, func() (err error) { // a fresh cluster may not know the account yet
		h.log, err = ledger.Open(t.Context(), appends, s.ledger)
		return err
	})
	s.service.Ledger = h.log
	if s.service.Keys, err1 = seal.OpenKeys(t.Context(), h.log.JetStream(), master, s.service.Replicas); err1 != nil {
		t.Fatal(err1)
	}
	if h.service, err1 = service.New(t.Context(), s.service); err1 != nil {
		t.Fatal(err1)
	}
	if err := h.service.Start(); err != nil {
		t.Fatal(err)
	}
}

func (h *house) stop() {
	if h.service == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.service.Stop(ctx); err != nil {
		h.t.Errorf("stop: %v", err)
	}
	h.log.Close()
	h.service = nil
}

// alone is one ledger on an embedded server of its own.
func alone(t testing.TB, change func(*setup)) *house {
	dir := t.TempDir()
	return serve(t, testkit.StartNode(t, dir), dir, change)
}

// pair is two ledgers on one cluster, with one clock.
func pair(t testing.TB) [2]*house {
	c, dir := testkit.StartCluster(t), t.TempDir()
	var both [2]*house
	for i := range both {
		both[i] = serve(t, c.Join(), dir, func(s *setup) {
			s.service.Replicas, s.service.Shared = 3, true
			if i == 1 {
				s.service.Clock = both[0].clock.now
			}
		})
	}
	both[1].clock = both[0].clock
	return both
}

// client asks as one actor on a connection of its own.
type client struct {
	t     testing.TB
	nc    *nats.Conn
	actor events.Actor
	match seal.Key // a keypad's
}

func dial(t testing.TB, n *node.Node, a events.Actor, inbox string, creds nats.Option) *client {
	t.Helper()
	nc, err := nats.Connect(n.URL(), creds, nats.CustomInboxPrefix(inbox), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &client{t: t, nc: nc, actor: a}
}

func person(t testing.TB, n *node.Node, id string) *client {
	t.Helper()
	creds, err := n.Issuer().Person(id)
	if err != nil {
		t.Fatal(err)
	}
	return dial(t, n, events.Actor{Kind: events.PersonActor, ID: id}, events.PersonInbox(id), nats.UserCredentialBytes(creds))
}

// key is a new NATS user's, of which the seed stays here.
func key(t testing.TB) (seed, public string) {
	t.Helper()
	pair, err1 := nkeys.CreateUser()
	raw, err2 := pair.Seed()
	public, err3 := pair.PublicKey()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return string(raw), public
}

// enroll makes a keypad for an intercom and connects it.
func (h *house) enroll(intercom string) *client {
	h.t.Helper()
	seed, public := key(h.t)
	var a commands.EnrollAnswer
	h.operator.must(intercom, commands.Enroll, m{"command": newID(), "public_key": public}, &a)
	return h.connect(a, seed)
}

func (h *house) connect(a commands.EnrollAnswer, seed string) *client {
	h.t.Helper()
	c := dial(h.t, h.node, events.Actor{Kind: events.IntercomActor, ID: a.Intercom},
		events.IntercomInbox(a.Intercom, a.PublicKey), nats.UserJWTAndSeed(a.JWT, seed))
	c.match = seal.Key(a.MatchKey)
	return c
}

// m is a body.
type m map[string]any

func newID() string { return ulid.Make().String() }

// ask gives the answer's bytes, or the word of the refusal.
func (c *client) ask(intercom string, v commands.Verb, body any) ([]byte, error) {
	raw, ok := body.([]byte)
	if !ok {
		raw, _ = json.Marshal(body) // bodies of tests always encode
	}
	msg, err := c.nc.Request(events.Request(intercom, string(v), c.actor), raw, 15*time.Second)
	if err != nil {
		return nil, err
	}
	var refused struct{ Error *commands.Refusal }
	if json.Unmarshal(msg.Data, &refused) == nil && refused.Error != nil {
		return nil, refused.Error
	}
	return msg.Data, nil
}

func (c *client) must(intercom string, v commands.Verb, body, into any) []byte {
	c.t.Helper()
	raw, err := c.ask(intercom, v, body)
	if err == nil && into != nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		c.t.Fatalf("%s %s: %v", v, intercom, err)
	}
	return raw
}

// refused asks and wants that refusal.
func (c *client) refused(intercom string, v commands.Verb, body any, want commands.Code) *commands.Refusal {
	c.t.Helper()
	raw, err := c.ask(intercom, v, body)
	r := (*commands.Refusal)(nil)
	if !errors.As(err, &r) || r.Code != want {
		c.t.Errorf("%s %s %s: %s (%v), want %s", v, intercom, body, raw, err, want)
		return &commands.Refusal{}
	}
	return r
}

// silent asks and wants no answer at all.
func (c *client) silent(intercom string, v commands.Verb, body any) {
	c.t.Helper()
	raw, _ := json.Marshal(body)
	if msg, err := c.nc.Request(events.Request(intercom, string(v), c.actor), raw, 300*time.Millisecond); err == nil {
		c.t.Errorf("%s was answered: %s", v, msg.Data)
	}
}

func (c *client) configure(intercom string, limit int) {
	c.t.Helper()
	c.must(intercom, commands.Configure, m{"command": newID(), "entry_device": "gate", "limit": limit, "yes": true}, nil)
}

func (c *client) issue(intercom string) (a commands.IssueAnswer) {
	c.t.Helper()
	c.must(intercom, commands.IssueVerb, anIssue(), &a)
	return a
}

func anIssue() m {
	return m{"command": newID(), "name": "Ada Guest", "mobile": "+49 170 1234567", "validity_s": 60}
}

func (c *client) use(digits, direction string) (a commands.UseAnswer) {
	c.t.Helper()
	c.must(c.actor.ID, commands.Use, c.aUse(digits, direction), &a)
	return a
}

func (c *client) aUse(digits, direction string) m {
	return m{"command": newID(), "match": seal.Match(c.match, digits), "direction": direction}
}

// decided is an answer at the keypad in one word.
func decided(a commands.UseAnswer) string {
	if a.Decision == "open" {
		return "open " + string(a.Direction)
	}
	return string(a.Reason)
}

func (c *client) wants(digits, direction, want string) {
	c.t.Helper()
	if got := decided(c.use(digits, direction)); got != want {
		c.t.Errorf("%s %q at the keypad: %s, want %s", digits, direction, got, want)
	}
}

// history reads the whole ledger, and fails the test on any event that broke a
// law when it was stored.
func (h *house) history() []events.Stored {
	h.t.Helper()
	var all []events.Stored
	states := map[string]projections.State{}
	last, err := h.log.LastSequence(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.log.Read(context.Background(), ledger.Range{From: 1, Upto: last}, func(e events.Stored) error {
		if b := projections.Breaks(states[e.Intercom], e); b != nil {
			return fmt.Errorf("law %d broken at sequence %d: %s", b.Law, e.Sequence, b.Message)
		}
		st, err := projections.Apply(states[e.Intercom], e)
		states[e.Intercom] = st
		all = append(all, e)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func count(all []events.Stored, t events.Type) (n int) {
	for _, e := range all {
		if e.Type == t {
			n++
		}
	}
	return n
}

// same compares answers but for the user JWT, which is signed anew each time.
func same(a, b []byte) bool {
	return bytes.Equal(withoutJWT(a), withoutJWT(b))
}

func withoutJWT(raw []byte) []byte {
	var a map[string]any
	if json.Unmarshal(raw, &a) != nil || a["jwt"] == nil {
		return raw
	}
	delete(a, "jwt")
	raw, _ = json.Marshal(a)
	return raw
}

func contextFor(t testing.TB) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), 5*time.Second)
}

func mustConnect(t testing.TB, h *house) *nats.Conn {
	t.Helper()
	nc, err := h.node.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// running names a goroutine that runs our own code beside the tests, if any:
// what the server and the client library keep is theirs.
func running() error {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n") {
		for _, ours := range []string{"gatebook/commands/service.", "gatebook/projections/views.", "gatebook/events/ledger."} {
			if strings.Contains(g, ours) {
				return errors.New("left behind: " + g)
			}
		}
	}
	return nil
}
