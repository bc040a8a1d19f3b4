package intercom_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/projections"
)

const front, back = "front", "back"

// fakeLedger answers for one intercom with the pure packages, and can lose,
// delay and forget like a real one that had bad luck.
type fakeLedger struct {
	t        testing.TB
	nc       *nats.Conn
	requests *nats.Subscription
	intercom string

	mu       sync.Mutex // owns what follows
	key      seal.Key
	history  []events.Stored
	states   []projections.State // states[n] is after revision n
	digits   map[string]string   // by code id
	uses     map[string]events.Stored
	reported map[string]bool
	shift    time.Duration

	mute        bool            // live is not published
	hidden      int             // how many of the newest events are not durable yet
	unavailable map[string]bool // verbs that are refused
	dumb        bool            // nobody answers use
	inParts     bool            // catch-ups come in several messages
	chatty      bool            // an answer without a view has the match list even so
	lags        bool            // what is hidden is not known to catch-ups at all

	// gotUse is called when a use has come in, useDone when it is recorded and
	// not yet answered; without the lock.
	gotUse, useDone       func(commands.UseRequest)
	gotFailed, gotReceipt func() // with the lock, before anything is done
	distort               func(*commands.UseAnswer)

	syncs    []commands.SyncRequest
	asked    []commands.UseRequest
	reports  []commands.FailedRequest
	receipts []commands.ReceiptRequest
}

func newFakeLedger(t testing.TB, url string, opts []nats.Option, intercom string, key seal.Key) *fakeLedger {
	t.Helper()
	l := &fakeLedger{
		t: t, intercom: intercom, key: key, states: make([]projections.State, 1),
		digits: map[string]string{}, uses: map[string]events.Stored{}, reported: map[string]bool{}, unavailable: map[string]bool{},
		gotUse: func(commands.UseRequest) {}, useDone: func(commands.UseRequest) {},
		gotFailed: func() {}, gotReceipt: func() {}, distort: func(*commands.UseAnswer) {},
	}
	nc, err := nats.Connect(url, append(opts, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		t.Fatalf("connect the fake ledger: %v", err)
	}
	l.nc = nc
	t.Cleanup(nc.Close)
	if l.requests, err = nc.Subscribe("cmd."+intercom+".*.*", func(m *nats.Msg) { go l.answer(m) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *fakeLedger) now() time.Time { return time.Now().Add(l.shift).Round(0).UTC() }

func (l *fakeLedger) state() projections.State { return l.states[len(l.states)-1] }

// durable is the newest state that the ledger would tell anybody of.
func (l *fakeLedger) durable() projections.State { return l.states[len(l.states)-1-l.hidden] }

func (l *fakeLedger) revision() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state().Revision
}

func (l *fakeLedger) meta(command string) commands.Meta {
	return commands.Meta{
		Intercom: l.intercom, Actor: events.Operator, Via: events.ViaCLI,
		Command: command, EventID: newULID(),
	}
}

func newULID() string { return ulid.Make().String() }

// do decides and stores, as the operator.
func (l *fakeLedger) do(decide func(projections.State, commands.Meta, time.Time) (events.Event, error)) events.Stored {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	e, err := decide(l.state(), l.meta(newULID()), now)
	if err != nil {
		l.t.Fatalf("decide: %v", err)
	}
	return l.store(e, now)
}

func (l *fakeLedger) store(e events.Event, now time.Time) events.Stored {
	raw, err := e.Chained(l.intercom, l.state().Link, now).Encode()
	if err != nil {
		l.t.Errorf("encode: %v", err)
	}
	s, err := events.Decode(raw, uint64(1000+len(l.history)))
	if err != nil {
		l.t.Errorf("decode: %v", err)
	}
	next, err := projections.Apply(l.state(), s)
	if err != nil {
		l.t.Errorf("apply: %v", err)
	}
	l.history, l.states = append(l.history, s), append(l.states, next)
	if !l.mute {
		l.publish(s)
	}
	return s
}

func (l *fakeLedger) publish(s events.Stored) {
	msg := nats.NewMsg("live." + l.intercom + "." + string(s.Type))
	msg.Data = s.Raw
	// A publisher's own header stays ahead of the server's.
	msg.Header["Nats-Sequence"] = []string{"7", strconv.FormatUint(s.Sequence, 10)}
	if err := l.nc.PublishMsg(msg); err != nil {
		l.t.Errorf("publish live: %v", err)
	}
	_ = l.nc.Flush()
}

func (l *fakeLedger) configure(change func(*commands.ConfigureRequest)) {
	l.t.Helper()
	entry, exit := front, back
	r := commands.ConfigureRequest{EntryDevice: &entry, ExitDevice: &exit}
	if change != nil {
		change(&r)
	}
	l.do(func(s projections.State, m commands.Meta, _ time.Time) (events.Event, error) {
		return commands.DecideConfigure(s, m, r)
	})
}

func (l *fakeLedger) issue(digits string, validity time.Duration) (id string) {
	l.t.Helper()
	id = newULID()
	l.mu.Lock()
	l.digits[id] = digits
	l.mu.Unlock()
	seconds := int64(validity / time.Second)
	l.do(func(s projections.State, m commands.Meta, now time.Time) (events.Event, error) {
		code := commands.NewCode{ID: id, Sealed: []byte("sealed")}
		return commands.DecideIssue(s, m, commands.IssueRequest{ValidityS: &seconds}, code, now)
	})
	return id
}

func (l *fakeLedger) revoke(id string) events.Stored {
	l.t.Helper()
	return l.do(func(s projections.State, m commands.Meta, now time.Time) (events.Event, error) {
		return commands.DecideRevoke(s, m, id, now)
	})
}

// revokeIfLive revokes a code unless its guest has used it up.
func (l *fakeLedger) revokeIfLive(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	e, err := commands.DecideRevoke(l.state(), l.meta(newULID()), id, now)
	if err != nil {
		return false
	}
	l.store(e, now)
	return true
}

// restore forgets everything after a revision, as an old backup does.
func (l *fakeLedger) restore(revision uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history, l.states = l.history[:revision], l.states[:revision+1]
	l.hidden = 0
}

// set changes how the ledger behaves.
func (l *fakeLedger) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *fakeLedger) answer(m *nats.Msg) {
	_, verb, actor, err := events.ParseRequest(m.Subject)
	if err != nil || actor.Token() != "i-"+l.intercom {
		l.t.Errorf("a request came on %s", m.Subject)
		return
	}
	l.mu.Lock()
	refused := l.unavailable[verb]
	l.mu.Unlock()
	if refused {
		l.refuse(m, commands.Refuse(commands.Unavailable, "try again", "not now"))
		return
	}
	switch commands.Verb(verb) {
	case commands.Sync:
		l.answerSync(m)
	case commands.Use:
		l.answerUse(m)
	case commands.Fail:
		l.answerFailed(m)
	case commands.Receipt:
		l.answerReceipt(m)
	}
}

func (l *fakeLedger) read(m *nats.Msg, into any) {
	if err := commands.Read(m.Data, into); err != nil {
		l.t.Errorf("request on %s: %v", m.Subject, err)
	}
}

func (l *fakeLedger) reply(m *nats.Msg, answer any) {
	raw, err := json.Marshal(answer)
	if err != nil {
		l.t.Errorf("encode answer: %v", err)
	}
	_ = m.Respond(raw) // the asker may be gone
}

func (l *fakeLedger) refuse(m *nats.Msg, err error) {
	answer := nats.NewMsg(m.Reply)
	answer.Header.Set("Nats-Service-Error-Code", string(err.(*commands.Refusal).Code))
	answer.Data, _ = json.Marshal(map[string]any{"error": err})
	_ = m.RespondMsg(answer)
}

func (l *fakeLedger) answerSync(m *nats.Msg) {
	var r commands.SyncRequest
	l.read(m, &r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncs = append(l.syncs, r)
	s := l.durable()
	a := commands.SyncAnswer{Revision: s.Revision, Hash: s.Hash, Time: l.now()}
	all := l.state()
	if l.lags {
		all = s
	}
	a.Diverged = r.Revision > all.Revision || r.Revision > 0 && l.states[r.Revision].Hash != r.Hash
	if r.Full || r.Revision != s.Revision || a.Diverged {
		view := bare(s)
		a.State = &view
	}
	if a.State != nil || l.chatty {
		a.Match = l.matchList(s)
	}
	if !l.inParts {
		l.reply(m, a)
		return
	}
	for id, match := range a.Match {
		l.reply(m, commands.SyncAnswer{Revision: a.Revision, Hash: a.Hash, Time: a.Time, Diverged: a.Diverged, Match: map[string]string{id: match}, More: true})
	}
	a.Match = nil
	l.reply(m, a)
}

// bare is a state without its sealed boxes.
func bare(s projections.State) projections.State {
	codes := make([]projections.Code, len(s.Codes))
	for i, c := range s.Codes {
		c.Sealed = nil
		codes[i] = c
	}
	s.Codes = codes
	return s
}

func (l *fakeLedger) matchList(s projections.State) map[string]string {
	list := map[string]string{}
	for _, c := range s.Codes {
		list[c.ID] = seal.Match(l.key, l.digits[c.ID])
	}
	return list
}

func (l *fakeLedger) answerUse(m *nats.Msg) {
	var r commands.UseRequest
	l.read(m, &r)
	l.mu.Lock()
	dumb, got, done, distort := l.dumb, l.gotUse, l.useDone, l.distort
	l.asked = append(l.asked, r)
	l.mu.Unlock()
	got(r)
	if dumb {
		return
	}
	a := l.use(r)
	done(r)
	distort(&a)
	l.reply(m, a)
}

// use decides a use and records it.
func (l *fakeLedger) use(r commands.UseRequest) commands.UseAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	meta := l.meta(r.Command)
	meta.Actor, meta.Via = events.Actor{Kind: events.IntercomActor, ID: l.intercom}, events.ViaKeypad
	id := l.find(r.Match, now)
	e, v, err := commands.DecideUse(l.state(), meta, id, projections.Direction(r.Direction), now)
	if err != nil {
		l.t.Errorf("decide use: %v", err)
	}
	if v.Reason != "" {
		return commands.UseAnswer{Decision: "reject", Reason: v.Reason, Direction: v.Direction, CodeID: id, Revision: l.state().Revision}
	}
	s := l.store(e, now)
	l.uses[r.Command] = s
	return commands.UseAnswer{Decision: "open", Direction: v.Direction, Device: v.Device, CodeID: id, Use: s.ID, Revision: s.Revision}
}

func (l *fakeLedger) find(match string, now time.Time) (id string) {
	for _, c := range l.state().Codes {
		if seal.Match(l.key, l.digits[c.ID]) != match {
			continue
		}
		if c.Live(now) {
			return c.ID
		}
		id = c.ID
	}
	return id
}

func (l *fakeLedger) answerFailed(m *nats.Msg) {
	var r commands.FailedRequest
	l.read(m, &r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gotFailed()
	l.reports = append(l.reports, r)
	use, ok := l.uses[r.UseCommand]
	if !ok {
		l.reply(m, commands.FailedAnswer{Revision: l.state().Revision})
		return
	}
	if l.reported[r.Command] { // the same command again has the same answer
		l.reply(m, commands.FailedAnswer{Recorded: true, Revision: l.state().Revision})
		return
	}
	var d events.UsedData
	if err := use.Unpack(&d); err != nil {
		l.t.Errorf("unpack: %v", err)
	}
	now := l.now()
	e, err := commands.DecideFailed(l.state(), l.meta(r.Command), d.CodeID, use.ID, r.Gate, now)
	if err != nil {
		l.refuse(m, err)
		return
	}
	l.reported[r.Command] = true
	s := l.store(e, now)
	l.reply(m, commands.FailedAnswer{Recorded: true, Revision: s.Revision})
}

func (l *fakeLedger) answerReceipt(m *nats.Msg) {
	var r commands.ReceiptRequest
	l.read(m, &r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gotReceipt()
	l.receipts = append(l.receipts, r)
	if r.Revision >= uint64(len(l.states)) || l.states[r.Revision].Hash != r.Hash {
		l.refuse(m, commands.Refuse(commands.Conflict, "", "no such event"))
		return
	}
	l.reply(m, commands.ReceiptAnswer{At: l.now()})
}

// hasReceipt reports whether the intercom said that it has applied a revision.
func (l *fakeLedger) hasReceipt(revision uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.receipts {
		if r.Revision == revision {
			return nil
		}
	}
	return fmt.Errorf("no receipt for revision %d among %v", revision, l.receipts)
}

func (l *fakeLedger) hasReport(gate string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.reports {
		if r.Gate == gate {
			return nil
		}
	}
	return fmt.Errorf("no report of %q among %v", gate, l.reports)
}

func (l *fakeLedger) useCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}
