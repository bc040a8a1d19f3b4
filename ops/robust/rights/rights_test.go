package rights

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/ops/node"
	"gatebook/ops/testkit"
)

const (
	mine, other = "front-gate", "back-gate"
	within      = 10 * time.Second
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// rig is a ledger with two enrolled intercoms, the intruder among them.
type rig struct {
	t          *testing.T
	server     *testkit.Server
	dir        string
	enrolments map[string]string // creds files by intercom
	keys       map[string]string // public keys by intercom
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), enrolments: map[string]string{}, keys: map[string]string{}}
	r.server = testkit.StartServer(t, testkit.Program(t), r.dir)
	for _, id := range []string{mine, other} {
		r.server.Do(nil, "settings", id, "--entry-device", "gate")
		path := filepath.Join(t.TempDir(), id+".creds")
		r.server.Do(nil, "enroll", id, "--out", path)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if r.keys[id], err = node.PublicKey(raw); err != nil {
			t.Fatal(err)
		}
		r.enrolments[id] = path
	}
	return r
}

// user is a connection with an intercom's credentials, and what it hears beside.
type user struct {
	*nats.Conn
	t      *testing.T
	errors chan error
	heard  chan *nats.Msg
}

func (r *rig) user(id string) *user {
	r.t.Helper()
	u := &user{t: r.t, errors: make(chan error, 1024), heard: make(chan *nats.Msg, 1024)}
	nc, err := nats.Connect(r.server.NATS, nats.UserCredentials(r.enrolments[id]),
		nats.CustomInboxPrefix(events.IntercomInbox(id, r.keys[id])),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { u.errors <- err }))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	u.Conn = nc
	return u
}

// listen subscribes, and keeps what comes.
func (u *user) listen(subject string) {
	u.t.Helper()
	if _, err := u.ChanSubscribe(subject, u.heard); err != nil {
		u.t.Fatal(err)
	}
	if err := u.FlushTimeout(within); err != nil {
		u.t.Fatal(err)
	}
}

// denied waits for the server's word that it did not allow what was just tried.
func (u *user) denied(what, subject string) {
	u.t.Helper()
	if err := u.FlushTimeout(within); err != nil {
		u.t.Fatalf("%s %s: %v", what, subject, err)
	}
	select {
	case err := <-u.errors:
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), what+" to "+strconv.Quote(subject)) {
			u.t.Errorf("%s to %s: the server says %v", what, subject, err)
		}
	case <-time.After(within):
		u.t.Errorf("%s to %s: the server allowed it", what, subject)
	}
}

// nothing arrived, and nothing was said. Each connection is asked once more
// first, so that what was on its way is there.
func (u *user) nothing(what string) {
	u.t.Helper()
	if err := u.FlushTimeout(within); err != nil {
		u.t.Fatal(err)
	}
	select {
	case m := <-u.heard:
		u.t.Errorf("%s: %s arrived: %.200s", what, m.Subject, m.Data)
	case err := <-u.errors:
		u.t.Errorf("%s: the server says %v", what, err)
	default:
	}
}

// last is the ledger's last sequence, as its history says.
func (r *rig) last() (last uint64) {
	r.t.Helper()
	out := r.server.Run("audit")
	if out.Status != 0 {
		r.t.Fatalf("audit: %s", out.Err)
	}
	for line := range strings.Lines(string(out.Out)) {
		var item commands.AuditItem
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			r.t.Fatal(err)
		}
		last = item.Sequence
	}
	return last
}

// streamed stops the server and reads the sequence from the stream itself, with
// whatever is there that is no event.
func (r *rig) streamed() uint64 {
	r.t.Helper()
	r.server.Terminate()
	nc, err := testkit.StartNode(r.t, r.dir).Ledger()
	if err != nil {
		r.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := js.Stream(context.Background(), events.Ledger)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// publishes are what one intercom must not publish on.
func (r *rig) publishes() []string {
	return []string{
		"ledger.front-gate.revoked", "ledger.front-gate.issued", "ledger.back-gate.revoked", "ledger.x.y",
		"live.front-gate.revoked", "live.back-gate.revoked",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.LEDGER", "$JS.API.STREAM.DELETE.LEDGER",
		"$JS.API.STREAM.PURGE.LEDGER", "$JS.API.STREAM.UPDATE.LEDGER", "$JS.API.STREAM.MSG.GET.LEDGER",
		"$JS.API.STREAM.MSG.DELETE.LEDGER", "$JS.API.DIRECT.GET.LEDGER", "$JS.API.DIRECT.GET.LEDGER.ledger.front-gate.issued",
		"$JS.API.CONSUMER.CREATE.LEDGER", "$JS.API.STREAM.MSG.GET.KEYS", "$JS.ACK.LEDGER.x.1.1.1.1.1",
		"cmd.back-gate.use.i-back-gate", "cmd.back-gate.sync.i-front-gate", "cmd.back-gate.receipt.i-back-gate",
		"cmd.front-gate.sync.i-back-gate", "cmd.front-gate.issue.i-front-gate", "cmd.front-gate.list.i-front-gate",
		"cmd.front-gate.revoke.p-operator", "cmd.front-gate.enroll.i-front-gate", "cmd._.audit.i-front-gate", "cmd._.audit.p-operator",
		"$SRV.PING", "$SRV.INFO.gatebook", "$SRV.STATS", "$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.ACCOUNT.x.CONNECT",
		"_in.p-operator.x", events.IntercomInbox(other, r.keys[other]) + ".x", events.IntercomInbox(mine, r.keys[mine]) + ".x",
		"keys.01ARZ3NDEKTSV4RRFFQ69G5FAV", "receipts.front-gate", "received.front-gate", "$KV.VIEWS.front-gate", "anything",
	}
}

// subscriptions are what one intercom must not listen to.
func (r *rig) subscriptions() []string {
	return []string{
		">", "*", "live.>", "live.*.*", "live.back-gate.>", "live.back-gate.revoked", "live.*.revoked",
		"ledger.>", "ledger.front-gate.>", "cmd.>", "cmd.*.*.*", "cmd.front-gate.>", "cmd.back-gate.use.i-back-gate",
		"_in.>", "_in.p-operator.>", "_in.i-back-gate.>", events.IntercomInbox(other, r.keys[other]) + ".>", "_in.i-front-gate.>", "_in.i-front-gate.*.*",
		"$SRV.>", "$SRV.PING", "$JS.>", "$JS.API.>", "$JS.EVENT.>", "$SYS.>", "_INBOX.>", "_R_.>", "keys.>", "receipts.>", "received.>", "$KV.>",
	}
}

func TestOneIntercomsCredentials(t *testing.T) {
	r := newRig(t)
	intruder, witness := r.user(mine), r.user(other)
	witness.listen(events.Live(other))
	witness.listen(events.IntercomInbox(other, r.keys[other]) + ".spied.>")
	before := r.last()

	for _, subject := range r.publishes() {
		if err := intruder.Publish(subject, []byte(`{"v":1}`)); err != nil {
			t.Fatal(err)
		}
		intruder.denied("Publish", subject)
		if err := intruder.PublishRequest(subject, intruder.NewInbox(), nil); err != nil {
			t.Fatal(err)
		}
		intruder.denied("Publish", subject)
	}
	for _, subject := range r.subscriptions() {
		for _, queue := range []string{"", "q"} {
			sub, err := intruder.ChanQueueSubscribe(subject, queue, intruder.heard)
			if err != nil {
				t.Fatal(err)
			}
			intruder.denied("Subscription", subject)
			_ = sub.Unsubscribe() // the server does not have it
		}
	}
	// What it must not hear happens.
	var issued commands.IssueAnswer
	r.server.Do(&issued, "issue", other, "--name", "Guest", "--mobile", "+49 170 1234567")
	r.server.Do(nil, "revoke", other, issued.ID, "--yes")
	asksForItself(t, witness, other)
	for range 2 {
		select {
		case m := <-witness.heard:
			if !strings.HasPrefix(m.Subject, "live.back-gate.") {
				t.Errorf("the other intercom heard %s", m.Subject)
			}
		case <-time.After(within):
			t.Fatal("the other intercom heard nothing of its own events")
		}
	}
	intruder.nothing("listening to others")
	witness.nothing("while another tried")
	if got := r.last(); got != before+2 {
		t.Errorf("the ledger's last sequence is %d, want %d", got, before+2)
	}
	asksForItself(t, intruder, mine) // the credentials are good for what they are for
	t.Logf("%d publishes and %d subscriptions were denied", 2*len(r.publishes()), 2*len(r.subscriptions()))
	if got := r.streamed(); got != before+2 {
		t.Errorf("the stream's last sequence is %d, want %d", got, before+2)
	}
}

// asksForItself syncs, so that a test that denies everything does not pass.
func asksForItself(t *testing.T, u *user, id string) {
	t.Helper()
	m, err := u.Request(events.Request(id, string(commands.Sync), events.Actor{Kind: events.IntercomActor, ID: id}), nil, within)
	if err != nil || !strings.Contains(string(m.Data), `"revision"`) {
		t.Errorf("%s cannot sync: %v", id, err)
	}
}

// TestForgedReplySubjects: an allowed request that names somebody else's subject
// as its own reply subject. The caller may publish it; nobody answers it.
func TestForgedReplySubjects(t *testing.T) {
	r := newRig(t)
	intruder, witness := r.user(mine), r.user(other)
	witness.listen(events.Live(other))
	witness.listen(events.IntercomInbox(other, r.keys[other]) + ".>")
	intruder.listen(events.Live(mine))
	before := r.last()
	forged := []string{
		"ledger.front-gate.revoked", "ledger.back-gate.revoked", "live.front-gate.revoked", "live.back-gate.revoked",
		"_in.p-operator.x", events.IntercomInbox(other, r.keys[other]) + ".x", "_in.i-front-gate.x.y", "_in.i-front-gatex.y",
		"cmd.back-gate.sync.i-back-gate", "$JS.API.STREAM.DELETE.LEDGER", "$SRV.PING", "keys.x", "receipts.front-gate",
	}
	self := events.Actor{Kind: events.IntercomActor, ID: mine}
	for _, verb := range []commands.Verb{commands.Sync, commands.Receipt, commands.Use} {
		for _, reply := range forged {
			if err := intruder.PublishRequest(events.Request(mine, string(verb), self), reply, []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	asksForItself(t, intruder, mine) // after all of them
	thrown := "a request was thrown away"
	testkit.Eventually(t, within, func() error {
		if got, want := strings.Count(r.server.Log(), thrown), 3*len(forged); got != want {
			return fmt.Errorf("the server says %d times that %s, want %d", got, thrown, want)
		}
		return nil
	})
	intruder.nothing("forged reply subjects")
	witness.nothing("forged reply subjects")
	if got := r.last(); got != before {
		t.Errorf("the ledger's last sequence is %d, want %d", got, before)
	}
	if got := r.streamed(); got != before {
		t.Errorf("the stream's last sequence is %d, want %d", got, before)
	}
}
