package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatebook/ops/testkit"
)

const otherKey = "UBAAASERZV4O3XPSFLHLPZEGKPPCGQVOGUICG2N43IAQRANHDODJY5P4"

func TestIntercomMayAskForItselfOnly(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	_, ledger := stream(t, n, 1)
	service(t, n)
	spy := edgeSpy(t, n.URL(), dir)
	seen := spy.follow(">")
	k := newKeypad(t, n, "front-gate")
	c := dial(t, n.URL(), k.opts...)

	for _, command := range []string{"use", "failed", "sync", "receipt", "attempt", "reported"} {
		subject := "cmd.front-gate." + command + ".i-front-gate"
		m, err := c.Request(subject, nil, soon)
		if err != nil || string(m.Data) != subject {
			t.Fatalf("%s: %v", subject, err)
		}
		for range 2 { // the request and its answer
			if _, err := seen.NextMsg(soon); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, subject := range []string{
		"ledger.x.y", "ledger.front-gate.revoked", "live.x.y", "live.front-gate.revoked",
		"$JS.API.INFO", "$JS.API.STREAM.DELETE.LEDGER", "$JS.API.DIRECT.GET.LEDGER",
		"$SRV.PING", "$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING",
		"cmd.other.use.i-other", "cmd.other.use.i-front-gate", "cmd.front-gate.use.i-other",
		"cmd.front-gate.issue.i-front-gate", "cmd.front-gate.revoke.i-front-gate",
		"cmd.front-gate.use.p-operator", "cmd._.sync.i-front-gate", "cmd.front-gate.use.i-front-gate.more",
		"_in.p-operator.x", "_in.i-other." + otherKey + ".x", "_in.i-front-gate." + k.public + ".x",
	} {
		c.refusedPublish(subject)
	}
	for _, subject := range []string{
		">", "*.*.*", "ledger.>", "ledger.front-gate.revoked", "live.>", "live.other.>", "live.*.revoked",
		"cmd.>", "cmd.front-gate.use.i-front-gate", "$SRV.>", "$SYS.>", "$JS.>",
		"_in.>", "_in.p-operator.>", "_in.i-other.>", "_in.i-front-gate.>",
		"_in.i-front-gate." + otherKey + ".>", "_in.i-front-gate.*.x", "_INBOX.>",
	} {
		c.refusedSubscribe(subject)
	}
	nothingMore(t, spy, seen)
	if last := lastSequence(t, ledger); last != 0 {
		t.Errorf("the ledger has %d events", last)
	}
}

func TestPersonMayAskAsThemselvesOnly(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	_, ledger := stream(t, n, 1)
	service(t, n)
	spy := edgeSpy(t, n.URL(), dir)
	seen := spy.follow(">")
	c := person(t, n, "ana")

	for _, subject := range []string{
		"cmd.front-gate.issue.p-ana", "cmd.back-gate.revoke.p-ana", "cmd._.audit.p-ana",
	} {
		m, err := c.Request(subject, nil, soon)
		if err != nil || string(m.Data) != subject {
			t.Fatalf("%s: %v", subject, err)
		}
		for range 2 {
			if _, err := seen.NextMsg(soon); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, subject := range []string{
		"cmd.front-gate.issue.p-operator", "cmd.front-gate.issue.p-ana2", "cmd.front-gate.use.i-front-gate",
		"cmd.front-gate.p-ana", "cmd.front-gate.issue.more.p-ana", "cmd.front-gate.issue.p-ana.more",
		"ledger.front-gate.revoked", "live.front-gate.revoked", "$JS.API.INFO", "$SRV.PING", "$SRV.INFO.x",
		"$SYS.REQ.USER.INFO", "_in.p-ana.x", "_in.p-operator.x",
	} {
		c.refusedPublish(subject)
	}
	for _, subject := range []string{
		">", "live.>", "live.front-gate.>", "ledger.>", "cmd.>", "$SRV.>", "_in.>", "_in.p-operator.>", "_in.p-*.x",
	} {
		c.refusedSubscribe(subject)
	}
	nothingMore(t, spy, seen)
	if last := lastSequence(t, ledger); last != 0 {
		t.Errorf("the ledger has %d events", last)
	}
}

// Who answers echoes to whatever reply subject a caller names. In LEDGER that
// would write an event; from EDGE it must go nowhere.
func TestForgedReplySubjectGoesNowhere(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	nc, ledger := stream(t, n, 1)
	service(t, n)
	k := newKeypad(t, n, "front-gate")
	follower := dial(t, n.URL(), k.opts...)
	live := follower.follow("live.front-gate.>")
	inLedger, err := nc.SubscribeSync("ledger.>")
	if err != nil {
		t.Fatal(err)
	}
	spy := edgeSpy(t, n.URL(), dir)
	seen := spy.follow(">")
	c := person(t, n, "mallory")

	forged := []string{
		"ledger.front-gate.revoked", "live.front-gate.revoked", "cmd.front-gate.revoke.p-operator",
		"$JS.API.STREAM.PURGE.LEDGER", "$SRV.PING", "$SYS.REQ.SERVER.PING", "_INBOX.x",
	}
	for _, reply := range forged {
		if err := c.PublishRequest("cmd.front-gate.issue.p-mallory", reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	// An honest request behind them is answered after all of them were.
	if _, err := c.Request("cmd.front-gate.issue.p-mallory", nil, soon); err != nil {
		t.Fatal(err)
	}
	for range len(forged) + 2 { // the requests and the one honest answer
		m, err := seen.NextMsg(soon)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != "cmd.front-gate.issue.p-mallory" && !strings.HasPrefix(m.Subject, "_in.p-mallory.") {
			t.Errorf("seen in EDGE: %s", m.Subject)
		}
	}
	nothingMore(t, spy, seen)
	if last := lastSequence(t, ledger); last != 0 {
		t.Errorf("the ledger has %d events", last)
	}
	nothingMore(t, follower, live)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := inLedger.NextMsg(time.Millisecond); err == nil {
		t.Errorf("seen in LEDGER: %s", m.Subject)
	}
}

// A message may ask for a trace of itself to be sent somewhere.
func TestForgedTraceGoesNowhere(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	_, ledger := stream(t, n, 1)
	service(t, n)
	k := newKeypad(t, n, "front-gate")
	follower := dial(t, n.URL(), k.opts...)
	live := follower.follow("live.front-gate.>")
	c := person(t, n, "mallory")
	for _, dest := range []string{"live.front-gate.revoked", "ledger.front-gate.revoked"} {
		m := nats.NewMsg("cmd.front-gate.issue.p-mallory")
		m.Header.Set("Nats-Trace-Dest", dest)
		if err := c.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Request("cmd.front-gate.issue.p-mallory", nil, soon); err != nil {
		t.Fatal(err)
	}
	nothingMore(t, follower, live)
	if last := lastSequence(t, ledger); last != 0 {
		t.Errorf("the ledger has %d events", last)
	}
}

func TestAnswersMaySpeakToInboxesOnly(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	spy := edgeSpy(t, n.URL(), dir)
	seen := spy.follow(">")
	nc, err := n.Answers()
	if err != nil {
		t.Fatal(err)
	}
	c := &client{Conn: nc, t: t}
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused = append(c.refused, err.Error())
	})
	if err := nc.Publish("_in.p-ana.x", nil); err != nil {
		t.Fatal(err)
	}
	if m, err := seen.NextMsg(soon); err != nil || m.Subject != "_in.p-ana.x" {
		t.Fatal("an answer does not arrive")
	}
	for _, subject := range []string{
		"live.front-gate.revoked", "ledger.front-gate.revoked", "cmd.a.b.p-c", "$SRV.PING", "$JS.API.INFO", "_INBOX.x",
	} {
		c.refusedPublish(subject)
	}
	for _, subject := range []string{">", "live.>", "ledger.>", "_in.>", "_INBOX.>"} {
		c.refusedSubscribe(subject)
	}
	nothingMore(t, spy, seen)
}

func TestNobodyElseConnects(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	if _, err := nats.Connect(n.URL(), nats.NoReconnect()); err == nil {
		t.Error("connected without credentials")
	}
	foreign := testkit.StartNode(t, t.TempDir())
	data, err := foreign.Issuer().Person("ana")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nats.Connect(n.URL(), nats.NoReconnect(), creds(data)); err == nil {
		t.Error("connected with another ledger's credentials")
	}
	token, _ := n.Issuer().Intercom("front-gate", otherKey)
	if _, err := nats.Connect(n.URL(), nats.NoReconnect(), nats.UserJWT(
		func() (string, error) { return token, nil },
		func([]byte) ([]byte, error) { return make([]byte, 64), nil },
	)); err == nil {
		t.Error("connected without the key")
	}
}

func TestLiveReachesTheIntercom(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	nc, _ := stream(t, n, 1)
	k := newKeypad(t, n, "front-gate")
	live := dial(t, n.URL(), k.opts...).follow("live.front-gate.>")
	other := newKeypad(t, n, "back-gate")
	deaf := dial(t, n.URL(), other.opts...)
	elsewhere := deaf.follow("live.back-gate.>")
	if _, err := nc.Request("ledger.front-gate.revoked", []byte("fact"), soon); err != nil {
		t.Fatal(err)
	}
	m, err := live.NextMsg(soon)
	if err != nil || m.Subject != "live.front-gate.revoked" || string(m.Data) != "fact" {
		t.Fatalf("live: %v %v", m, err)
	}
	nothingMore(t, deaf, elsewhere)
}

func TestIssuerRefusesMalformedNames(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	for _, id := range []string{"", "*", ">", "a.b", "A", "-a", "a b", "operator.>"} {
		if _, err := n.Issuer().Person(id); err == nil {
			t.Errorf("issued a person %q", id)
		}
		if _, err := n.Issuer().Intercom(id, otherKey); err == nil {
			t.Errorf("issued an intercom %q", id)
		}
	}
	for _, key := range []string{"", "*", "UABC", "A" + otherKey[1:]} {
		if _, err := n.Issuer().Intercom("front-gate", key); err == nil {
			t.Errorf("issued an intercom with key %q", key)
		}
	}
}

// nothingMore flushes, behind which everything that was delivered has arrived,
// and looks.
func nothingMore(t *testing.T, c *client, sub *nats.Subscription) {
	t.Helper()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(time.Millisecond); err == nil {
		t.Errorf("unexpected message on %s: %s", m.Subject, m.Data)
	}
}
