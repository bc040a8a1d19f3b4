package robust

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

const (
	gate    = "front-gate"
	someKey = "UCHATZAANJPGWBCK2KCI2MZJIAETBJ2S4RIOKX4D2J7LRGZBMW4VQNG5"
)

// story is a right history made by the deciders alone, one operation after the
// other, for the tests to spoil.
type story struct {
	t      *testing.T
	events []events.Stored
	ops    []*Op
	state  projections.State
	now    time.Time
	clock  time.Duration
	ids    uint64
}

func (s *story) id() string {
	s.ids++
	var u ulid.ULID
	if err := u.SetTime(ulid.Timestamp(s.now)); err != nil {
		s.t.Fatal(err)
	}
	u[15], u[14] = byte(s.ids), byte(s.ids>>8)
	return u.String()
}

// do asks, and answers as the ledger must.
func (s *story) do(verb commands.Verb, with func(*Ask)) *Op {
	s.t.Helper()
	s.now, s.clock = s.now.Add(time.Second), s.clock+time.Second
	op := &Op{Ask: Ask{Intercom: gate, Actor: events.Operator, Verb: verb}, At: s.now, Call: s.clock, Return: s.clock + time.Millisecond}
	if verb.AtKeypad() {
		op.Actor = events.Actor{Kind: events.IntercomActor, ID: gate}
	}
	if verb != commands.List {
		op.Command = s.id()
	}
	if with != nil {
		with(&op.Ask)
	}
	o, err := decide(s.state, op, fact{id: s.id(), code: s.id(), at: s.now}, s.find)
	if err != nil {
		s.t.Fatal(err)
	}
	op.Answer = s.answer(op, o)
	s.ops = append(s.ops, op)
	return op
}

func (s *story) find(command string) (events.Stored, bool) {
	i := slices.IndexFunc(s.events, func(e events.Stored) bool { return e.Command == command })
	if i < 0 {
		return events.Stored{}, false
	}
	return s.events[i], true
}

func (s *story) answer(op *Op, o outcome) *Answer {
	if o.refusal != nil {
		r := &Refusal{Code: o.refusal.Code}
		if d, ok := o.refusal.Details.(map[string]any); ok {
			r.Revision = d["revision"].(uint64)
		}
		return &Answer{Refusal: r}
	}
	if op.Verb == commands.List {
		a := &commands.ListAnswer{Limit: s.state.Settings.Limit, Revision: s.state.Revision}
		for _, c := range s.state.Live(s.now) {
			a.Codes = append(a.Codes, commands.ListItemOf(c, s.now))
		}
		return &Answer{Listed: a}
	}
	if o.event.Type == "" {
		return &Answer{Used: &commands.UseAnswer{Decision: "reject", Reason: o.verdict.Reason, CodeID: op.Code, Revision: s.state.Revision}}
	}
	e := s.store(o.event)
	switch e.Type {
	case events.Configured:
		a := commands.SettingsOf(gate, unpacked[events.ConfiguredData](e.Event), e.Revision, e.At)
		return &Answer{Configured: &a}
	case events.Enrolled:
		return &Answer{Enrolled: &commands.EnrollAnswer{PublicKey: op.PublicKey, Revision: e.Revision, At: e.At}}
	case events.Issued:
		d := unpacked[events.IssuedData](e.Event)
		return &Answer{Issued: &commands.IssueAnswer{ID: d.CodeID, IssuedAt: e.At, ExpiresAt: d.ExpiresAt, Revision: e.Revision}}
	case events.Revoked:
		return &Answer{Revoked: &commands.RevokeAnswer{ID: op.Code, RevokedAt: e.At, Revision: e.Revision}}
	default:
		return &Answer{Used: &commands.UseAnswer{
			Decision: "open", Direction: o.verdict.Direction, Device: o.verdict.Device, CodeID: op.Code, Use: e.ID, Revision: e.Revision,
		}}
	}
}

// store adds an event as the ledger would, whether the laws allow it or not.
func (s *story) store(e events.Event) events.Stored {
	s.t.Helper()
	raw, err := e.Chained(gate, s.state.Link, s.now).Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	stored, err := events.Decode(raw, uint64(len(s.events)+1))
	if err == nil {
		s.state, err = projections.Apply(s.state, stored)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.events = append(s.events, stored)
	return stored
}

// forge stores an event that no decider made.
func (s *story) forge(t events.Type, by, command string, data any) events.Stored {
	s.t.Helper()
	e, err := events.New(s.id(), t, by, events.ViaCLI, command, data)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.store(e)
}

func (s *story) issue() *Op { return s.do(commands.IssueVerb, nil) }

func (s *story) use(code string) *Op {
	return s.do(commands.Use, func(a *Ask) { a.Code = code })
}

func (s *story) revoke(code string) *Op {
	return s.do(commands.Revoke, func(a *Ask) { a.Code = code })
}

// tell is a right history with every kind of answer: settings with a limit of
// two, two codes, a third refused, one used and left, one revoked twice.
func tell(t *testing.T) (s *story, first, second *Op) {
	s = &story{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	limit := 2
	s.do(commands.Configure, func(a *Ask) { a.Settings = commands.ConfigureRequest{Command: a.Command, Limit: &limit} })
	s.do(commands.Enroll, func(a *Ask) { a.PublicKey = someKey })
	first, second = s.issue(), s.issue()
	s.issue() // limit_reached
	s.do(commands.List, nil)
	s.use(first.Answer.Issued.ID)
	s.use(first.Answer.Issued.ID)
	s.use(first.Answer.Issued.ID) // spent
	s.revoke(second.Answer.Issued.ID)
	s.revoke(second.Answer.Issued.ID) // already_revoked
	s.use(second.Answer.Issued.ID)    // revoked
	s.do(commands.List, nil)
	return s, first, second
}

// listed is where the first list is in a story.
const listed = 5

// verdicts are what each judge found wrong.
func (s *story) verdicts(within time.Duration) map[string][]error {
	l := Ledger{}
	v := map[string][]error{}
	for _, e := range s.events {
		if err := l.Take(e); err != nil {
			v["laws"] = append(v["laws"], err)
		}
	}
	v["fold"], v["time"], v["order"] = Folds(l, s.ops), InTime(l, s.ops), Linearizable(l, s.ops, within)
	return v
}

func TestRightHistoryPasses(t *testing.T) {
	s, _, _ := tell(t)
	for judge, wrong := range s.verdicts(time.Minute) {
		for _, err := range wrong {
			t.Errorf("%s: %v", judge, err)
		}
	}
	for _, op := range s.ops {
		if op.Refused() && op.Verb == commands.Use {
			t.Errorf("%s is no story", op)
		}
	}
}

// TestOpenOperationsPass: whoever had no answer may have been served or not, and
// whenever.
func TestOpenOperationsPass(t *testing.T) {
	s, first, _ := tell(t)
	for _, op := range s.ops {
		if op.Done() && op != first {
			op.Answer = nil
		}
	}
	s.use(first.Answer.Issued.ID).Answer = nil
	s.issue().Answer = nil
	s.events = s.events[:len(s.events)-1] // the last issue never was
	for judge, wrong := range s.verdicts(time.Minute) {
		for _, err := range wrong {
			t.Errorf("%s: %v", judge, err)
		}
	}
}

// TestWrongHistoriesFail: each judge that must notice does, with the words that
// say what is wrong.
func TestWrongHistoriesFail(t *testing.T) {
	type words map[string]string
	const fits = "fit no order"
	for name, c := range map[string]struct {
		spoil func(s *story, first, second *Op)
		want  words
	}{
		"lost acknowledgement": {func(s *story, first, second *Op) {
			s.do(commands.IssueVerb, nil)
			s.events = s.events[:len(s.events)-1]
			s.do(commands.List, nil)
		}, words{"fold": "acknowledged and is not in the ledger"}},
		"lost in the middle": {func(s *story, first, second *Op) {
			s.events = slices.Delete(s.events, 3, 4)
		}, words{"laws": "breaks law 6", "fold": "acknowledged and is not in the ledger", "order": fits}},
		"stored twice": {func(s *story, first, second *Op) {
			s.forge(events.Revoked, events.ByOperator, first.Command, events.EndedData{CodeID: second.Answer.Issued.ID})
		}, words{"laws": "was stored before"}},
		"same place twice": {func(s *story, first, second *Op) {
			again := s.events[len(s.events)-1]
			again.Sequence++
			s.events = append(s.events, again)
		}, words{"laws": "breaks law 6"}},
		"reordered": {func(s *story, first, second *Op) {
			s.events[2], s.events[3] = s.events[3], s.events[2]
		}, words{"laws": "breaks law 6"}},
		"nobody asked": {func(s *story, first, second *Op) {
			s.forge(events.Configured, events.ByOperator, s.id(), unpacked[events.ConfiguredData](s.events[0].Event))
		}, words{"fold": "nobody asked"}},
		"over the limit": {func(s *story, first, second *Op) {
			op := s.issue()
			s.issue()
			d := unpacked[events.IssuedData](s.events[len(s.events)-1].Event)
			d.CodeID = s.id()
			command := s.id()
			e := s.forge(events.Issued, events.ByOperator, command, d)
			third := *op
			third.Command, third.Call, third.Return = command, s.clock+time.Second, s.clock+2*time.Second
			third.Answer = &Answer{Issued: &commands.IssueAnswer{ID: d.CodeID, IssuedAt: e.At, ExpiresAt: d.ExpiresAt, Revision: e.Revision}}
			s.ops = append(s.ops, &third)
		}, words{"laws": "breaks law 5", "fold": "not what the deciders make", "order": fits}},
		"entered after the revoke was told": {func(s *story, first, second *Op) {
			op := s.use(second.Answer.Issued.ID)
			e := s.forge(events.Entered, "intercom:"+gate, op.Command, events.UsedData{CodeID: op.Code, Device: gate})
			op.Answer = &Answer{Used: &commands.UseAnswer{
				Decision: "open", Direction: projections.Entry, Device: gate, CodeID: op.Code, Use: e.ID, Revision: e.Revision,
			}}
		}, words{"laws": "breaks law 2", "fold": "not what the deciders make", "time": "law 2", "order": fits}},
		"opened again after the revoke was told": {func(s *story, first, second *Op) {
			// Recorded before the revoke and repeated after it: a state of before answers.
			third := s.issue()
			entry := s.use(third.Answer.Issued.ID)
			s.revoke(third.Answer.Issued.ID)
			again := *entry
			again.Repeat, again.Call, again.Return = true, s.clock+time.Second, s.clock+2*time.Second
			s.ops = append(s.ops, &again)
		}, words{"time": "law 2", "order": fits}},
		"a list from before": {func(s *story, first, second *Op) {
			stale := *s.ops[listed]
			stale.Call, stale.Return = s.clock+time.Second, s.clock+2*time.Second
			s.ops = append(s.ops, &stale)
		}, words{"fold": "", "time": "was told", "order": fits}},
		"an answer from the future": {func(s *story, first, second *Op) {
			early := *s.ops[len(s.ops)-1]
			early.Call, early.Return = 0, time.Millisecond
			s.ops = append(s.ops, &early)
		}, words{"time": "was asked for only after", "order": fits}},
		"a list that shows another code": {func(s *story, first, second *Op) {
			s.ops[listed].Answer.Listed.Codes[0].ID = s.id()
		}, words{"fold": "not what the events say", "order": fits}},
		"refused for no reason": {func(s *story, first, second *Op) {
			s.do(commands.IssueVerb, nil).Answer = &Answer{Refusal: &Refusal{Code: commands.LimitReached}}
			s.events = s.events[:len(s.events)-1]
		}, words{"time": "right at no revision", "order": fits}},
		"refused and stored": {func(s *story, first, second *Op) {
			s.issue().Answer = &Answer{Refusal: &Refusal{Code: commands.Unavailable}}
		}, words{"fold": "was refused and is in the ledger"}},
		"rejected for another reason": {func(s *story, first, second *Op) {
			s.use(second.Answer.Issued.ID).Answer.Used.Reason = projections.IsSpent
		}, words{"fold": "not what the events say", "order": fits}},
		"an open that names no stored use": {func(s *story, first, second *Op) {
			op := s.use(s.issue().Answer.Issued.ID)
			op.Answer.Used.Use = s.id()
		}, words{"fold": "not what the events say", "order": fits}},
	} {
		t.Run(name, func(t *testing.T) {
			s, first, second := tell(t)
			c.spoil(s, first, second)
			v := s.verdicts(time.Minute)
			for judge, says := range c.want {
				switch text := fmt.Sprint(v[judge]); {
				case says == "" && len(v[judge]) > 0:
					t.Errorf("%s: %s", judge, text)
				case !strings.Contains(text, says):
					t.Errorf("%s did not say %q, but %s", judge, says, text)
				}
			}
		})
	}
}

// TestNoVerdictIsAFailure: an order that was not found in time is not one.
func TestNoVerdictIsAFailure(t *testing.T) {
	s, _, _ := tell(t)
	var slow error
	for range 1000 { // the search may be faster than a nanosecond's timer
		if wrong := s.verdicts(time.Nanosecond)["order"]; len(wrong) > 0 {
			slow = wrong[0]
			break
		}
	}
	if slow == nil || !strings.Contains(slow.Error(), "none was ruled out") {
		t.Errorf("a check that ran out of time said %v", slow)
	}
}
