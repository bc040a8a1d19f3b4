package service_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/ops/testkit"
)

// told is one storing command, told once and to be told again.
type told struct {
	verb  commands.Verb
	body  m
	other m // the same id for something else
	at    string
}

// scenes play every command that stores an event, in an order in which each is
// accepted. After each, check is called with the one just accepted.
func scenes(t *testing.T, h *house, check func(told, []byte)) {
	op := h.operator
	var enrolled commands.EnrollAnswer
	var issued commands.IssueAnswer
	var digits string
	seed, public := key(t)
	_, another := key(t)
	play := func(v commands.Verb, body, other m, into any) {
		t.Helper()
		body["command"], other["command"] = newID(), body["command"]
		other["command"] = body["command"]
		who := op
		if v.AtKeypad() {
			who = h.connect(enrolled, seed)
		}
		check(told{v, body, other, "north"}, who.must("north", v, body, into))
	}
	play(commands.Configure, m{"entry_device": "gate"}, m{"entry_device": "door"}, nil)
	play(commands.Enroll, m{"public_key": public}, m{"public_key": another}, &enrolled)
	play(commands.IssueVerb, anIssue(), m{"name": "Bob", "mobile": "+49 170 1234567"}, &issued)
	digits = *issued.Code
	match := func(d string) string { return seal.Match(seal.Key(enrolled.MatchKey), d) }
	use := m{"match": match(digits), "direction": "entry"}
	play(commands.Use, use, m{"match": match("0000"), "direction": "entry"}, nil)
	play(commands.Fail, m{"use_command": use["command"], "gate": "failed"}, m{"use_command": use["command"], "gate": "timeout"}, nil)
	play(commands.Revoke, m{"id": issued.ID}, m{"id": newID()}, nil)
	play(commands.Unenroll, m{}, m{"unknown": 1}, nil)
}

// Law 3 and the contract: an accepted command is found again, with the same
// answer and one event, by the process that took it and by one that knows only
// the ledger; with another body its id is refused.
func TestRepeatedCommandIsDoneOnce(t *testing.T) {
	h := alone(t, nil)
	scenes(t, h, func(c told, answer []byte) {
		t.Helper()
		repeat := func(when string) {
			t.Helper()
			raw, err := again(t, h, c, c.body)
			if err != nil || !same(raw, answer) {
				t.Errorf("%s repeated %s: %s (%v), first %s", c.verb, when, raw, err, answer)
			}
			if _, err := again(t, h, c, c.other); word(err) != commands.BadRequest {
				t.Errorf("%s with another body %s: %v", c.verb, when, err)
			}
		}
		events := len(h.history())
		if !c.verb.AtKeypad() {
			repeat("at once")
		}
		h.stop()
		h.start(nil)
		if !c.verb.AtKeypad() {
			repeat("after a restart")
		}
		if n := len(h.history()); n != events {
			t.Errorf("%s repeated stored %d events", c.verb, n-events)
		}
	})
}

// The same on another ledger of the cluster, which may not have heard of it yet.
func TestRepeatedCommandIsDoneOnceByTwoLedgers(t *testing.T) {
	both := pair(t)
	scenes(t, both[0], func(c told, answer []byte) {
		t.Helper()
		stored := len(both[0].history())
		if !c.verb.AtKeypad() {
			for range 6 { // whichever of the two hears it
				if raw, err := again(t, both[1], c, c.body); err != nil || !same(raw, answer) {
					t.Errorf("%s repeated: %s (%v), first %s", c.verb, raw, err, answer)
				}
			}
		}
		if n := len(both[0].history()); n != stored {
			t.Errorf("%s repeated stored %d events", c.verb, n-stored)
		}
	})
}

func again(t *testing.T, h *house, c told, body m) ([]byte, error) {
	return h.operator.ask(c.at, c.verb, body)
}

func word(err error) commands.Code {
	if r, ok := err.(*commands.Refusal); ok {
		return r.Code
	}
	return ""
}

// At the keypad, where the answer to a repeated request is judged again.
func TestRepeatedUseAndFailedAreDoneOnce(t *testing.T) {
	both := pair(t)
	op := both[0].operator
	op.configure("north", 10)
	keypad := both[0].enroll("north")
	a := op.issue("north")
	use := keypad.aUse(*a.Code, "entry")
	for range 6 {
		var u commands.UseAnswer
		if keypad.must("north", commands.Use, use, &u); decided(u) != "open entry" {
			t.Errorf("repeated use: %+v", u)
		}
	}
	for field, other := range map[string]any{"match": keypad.aUse("0000", "")["match"], "direction": "exit"} {
		body := m{"command": use["command"], "match": use["match"], "direction": "entry"}
		body[field] = other
		keypad.refused("north", commands.Use, body, commands.BadRequest)
	}
	failed := m{"command": newID(), "use_command": use["command"], "gate": "failed"}
	first := keypad.must("north", commands.Fail, failed, nil)
	for range 6 {
		if raw := keypad.must("north", commands.Fail, failed, nil); !same(raw, first) {
			t.Errorf("repeated failed: %s, first %s", raw, first)
		}
	}
	for field, other := range map[string]any{"gate": "timeout", "use_command": failed["command"]} {
		body := m{"command": failed["command"], "use_command": use["command"], "gate": "failed"}
		body[field] = other
		keypad.refused("north", commands.Fail, body, commands.BadRequest)
	}
	var none commands.FailedAnswer
	if keypad.must("north", commands.Fail, m{"command": newID(), "use_command": newID(), "gate": "failed"}, &none); none.Recorded {
		t.Error("a use that never was has failed")
	}
	keypad.wants(*a.Code, "entry", "open entry") // given back
	all := both[0].history()
	if e, f := count(all, events.Entered), count(all, events.Failed); e != 2 || f != 1 {
		t.Errorf("%d entries and %d failures were stored", e, f)
	}
}

// Law 2: a repeated use of a code that was revoked meanwhile is judged again,
// also by a ledger that has not heard of the revoke.
func TestRepeatedUseAfterRevokeIsNeverOpen(t *testing.T) {
	both := pair(t)
	op := both[0].operator
	op.configure("north", 50)
	keypad := both[0].enroll("north")
	for range 40 {
		a := op.issue("north")
		use := keypad.aUse(*a.Code, "entry")
		keypad.must("north", commands.Use, use, nil)
		op.must("north", commands.Revoke, m{"command": newID(), "id": a.ID}, nil)
		for range 4 {
			var u commands.UseAnswer
			if keypad.must("north", commands.Use, use, &u); decided(u) != "revoked" {
				t.Fatalf("repeated use after the revoke: %+v", u)
			}
		}
	}
	both[0].history()
}

func TestARefusedCommandMaySucceedLater(t *testing.T) {
	h := alone(t, nil)
	op := h.operator
	op.configure("north", 1)
	a, body := op.issue("north"), anIssue()
	for range 2 {
		op.refused("north", commands.IssueVerb, body, commands.LimitReached)
	}
	op.must("north", commands.Revoke, m{"command": newID(), "id": a.ID}, nil)
	first := op.must("north", commands.IssueVerb, body, nil)
	if again := op.must("north", commands.IssueVerb, body, nil); !same(first, again) {
		t.Errorf("%s, then %s", first, again)
	}
	if n := count(h.history(), events.Issued); n != 2 {
		t.Errorf("%d codes were issued", n)
	}
}

// Many callers repeat the same command at the same time.
func TestRacingRepeatsAreDoneOnce(t *testing.T) {
	both := pair(t)
	both[0].operator.configure("north", 50)
	for range 10 {
		body := anIssue()
		ids := make(chan string, 16)
		var all sync.WaitGroup
		for i := range cap(ids) {
			all.Add(1)
			go func() {
				defer all.Done()
				raw, err := both[i%2].operator.ask("north", commands.IssueVerb, body)
				var a commands.IssueAnswer
				if err != nil || json.Unmarshal(raw, &a) != nil {
					t.Errorf("issue: %s (%v)", raw, err)
				}
				ids <- a.ID
			}()
		}
		all.Wait()
		close(ids)
		first := <-ids
		for id := range ids {
			if id != first {
				t.Fatalf("one command gave the codes %s and %s", first, id)
			}
		}
	}
	if n := count(both[0].history(), events.Issued); n != 10 {
		t.Errorf("%d codes were issued by 10 commands", n)
	}
}

func TestExpiryIsWrittenOnceByTwoLedgers(t *testing.T) {
	both := pair(t)
	op := both[0].operator
	op.configure("north", 50)
	keypad := both[0].enroll("north")
	var issued []commands.IssueAnswer
	for range 20 {
		issued = append(issued, op.issue("north"))
	}
	left := op.issue("north") // this one will have ended otherwise
	keypad.wants(*left.Code, "entry", "open entry")
	keypad.wants(*left.Code, "exit", "open exit")
	both[0].clock.move(time.Until(issued[0].ExpiresAt) - 50*time.Millisecond)
	testkit.Eventually(t, 10*time.Second, func() error {
		for _, h := range both {
			if st := h.service.Views().State("north"); st.Count(left.ExpiresAt.Add(-1)) > 0 || unwritten(st) > 0 {
				return errUnwritten
			}
		}
		return nil
	})
	all := both[0].history()
	if n := count(all, events.Expired); n != len(issued) {
		t.Fatalf("%d expired events of %d codes", n, len(issued))
	}
	for _, e := range all {
		if e.Type != events.Expired {
			continue
		}
		var d events.EndedData
		if err := e.Unpack(&d); err != nil || e.By != events.ByClock || e.Via != events.ViaTimer {
			t.Errorf("%s (%v)", e.Raw, err)
		}
		for _, a := range issued {
			if late := e.At.Sub(a.ExpiresAt); a.ID == d.CodeID && (late < 0 || late > 3*time.Second) { // a second, on a machine that is not this busy
				t.Errorf("code %s expired %s after its time", a.ID, late)
			}
		}
	}
}

func TestOverdueCodesExpireAtTheStart(t *testing.T) {
	h := alone(t, nil)
	h.operator.configure("north", 50)
	for range 30 {
		h.operator.issue("north")
	}
	h.stop()
	next := &clock{}
	next.move(2 * time.Minute)
	h = serve(t, h.node, h.dir, func(s *setup) { s.service.Clock = next.now })
	testkit.Eventually(t, 5*time.Second, func() error {
		if n := unwritten(h.service.Views().State("north")); n > 0 {
			return errUnwritten
		}
		return nil
	})
	if n := count(h.history(), events.Expired); n != 30 {
		t.Errorf("%d expired events", n)
	}
}
