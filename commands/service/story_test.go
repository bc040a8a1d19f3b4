package service_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"

	"github.com/nats-io/nats.go"
)

func TestStory(t *testing.T) {
	h := alone(t, nil)
	op := h.operator
	op.configure("north", 2)
	keypad := h.enroll("north")

	first := op.issue("north")
	keypad.wants(*first.Code, "exit", "wrong_direction")
	keypad.wants(*first.Code, "", "open entry")
	keypad.wants(*first.Code, "entry", "wrong_direction")
	keypad.wants(*first.Code, "exit", "open exit")
	var list commands.ListAnswer
	if op.must("north", commands.List, m{}, &list); len(list.Codes) != 0 {
		t.Errorf("a spent code is listed: %+v", list)
	}
	keypad.wants(*first.Code, "exit", "spent")
	keypad.wants("0000", "", "unknown")

	second, third := op.issue("north"), op.issue("north")
	var full commands.LimitDetails
	r := op.refused("north", commands.IssueVerb, anIssue(), commands.LimitReached)
	raw, _ := json.Marshal(r.Details)
	if err := json.Unmarshal(raw, &full); err != nil || full.Limit != 2 || len(full.Holders) != 2 ||
		full.Holders[0].ID != second.ID || full.Holders[1].ID != third.ID ||
		full.Holders[0].Recipient == nil || full.Holders[0].Recipient.Name != "Ada Guest" || !full.FirstFreeAt.Equal(second.ExpiresAt) {
		t.Errorf("holders: %s", raw)
	}
	var revoked commands.RevokeAnswer
	op.must("north", commands.Revoke, m{"command": newID(), "id": second.ID}, &revoked)
	keypad.wants(*second.Code, "", "revoked")
	again := op.refused("north", commands.Revoke, m{"command": newID(), "id": second.ID}, commands.AlreadyRevoked)
	if raw, _ := json.Marshal(again.Details); !strings.Contains(string(raw), revoked.RevokedAt.Format(time.RFC3339Nano)) {
		t.Errorf("already revoked: %s", raw)
	}
	op.issue("north") // the slot is free at once

	op.must("north", commands.List, m{}, &list)
	if len(list.Codes) != 2 || list.Codes[0].ID != third.ID || list.Codes[0].Recipient.Mobile != "+491701234567" || list.Codes[0].RemainingS < 50 {
		t.Errorf("list: %+v", list)
	}
	var show commands.ShowAnswer
	op.must("north", commands.Show, m{"id": first.ID}, &show)
	var types []events.Type
	for _, e := range show.Events {
		types = append(types, e.Type)
	}
	if show.Code != nil || show.State != projections.Spent || !slices.Equal(types, []events.Type{events.Issued, events.Entered, events.Exited}) {
		t.Errorf("show: %+v %v", show, types)
	}
	all := h.history()
	var audit commands.AuditAnswer
	if op.must(events.Whole, commands.Audit, m{}, &audit); len(audit.Events) != len(all) || audit.Next != 0 {
		t.Errorf("audit has %d of %d events", len(audit.Events), len(all))
	}
	op.must(events.Whole, commands.Audit, m{"code": second.ID, "type": "revoked"}, &audit)
	if len(audit.Events) != 1 || audit.Events[0].By != "operator" || audit.Events[0].Recipient.Name != "Ada Guest" {
		t.Errorf("audit of a revoke: %+v", audit.Events)
	}
	var replay commands.ReplayAnswer
	op.must(events.Whole, commands.Replay, m{"sequence": revoked.Revision - 1}, &replay)
	if len(replay.Intercoms) != 1 || len(replay.Intercoms[0].Codes) != 2 || replay.Intercoms[0].Revision != revoked.Revision-1 {
		t.Errorf("replay to before the revoke: %+v", replay)
	}
	op.must(events.Whole, commands.Verify, m{}, nil)
	for _, e := range all {
		if bytes.Contains(e.Raw, []byte("Ada")) || bytes.Contains(e.Raw, []byte("1701234567")) {
			t.Errorf("%s tells who the guest is", e.Raw)
		}
	}
}

func TestEveryRefusalHasItsWord(t *testing.T) {
	h := alone(t, nil)
	op, stranger := h.operator, person(t, h.node, "eve")
	for _, v := range []commands.Verb{commands.Settings, commands.List} {
		op.refused("north", v, m{}, commands.NotConfigured)
	}
	op.refused("north", commands.IssueVerb, anIssue(), commands.NotConfigured)
	op.refused("north", commands.Revoke, m{"command": newID(), "id": newID()}, commands.NotConfigured)
	op.refused("north", commands.Unenroll, m{"command": newID()}, commands.NotFound)
	op.configure("north", 1)
	keypad := h.enroll("north")

	bodies := map[commands.Verb]m{
		commands.Configure: {"command": newID()}, commands.IssueVerb: anIssue(), commands.List: {}, commands.Settings: {},
		commands.Revoke: {"command": newID(), "id": newID()}, commands.Show: {"id": newID()},
		commands.Enroll: {"command": newID(), "public_key": "U"}, commands.Unenroll: {"command": newID()},
		commands.Use: {"command": newID()}, commands.Sync: {}, commands.Receipt: {"revision": 1},
		commands.Fail: {"command": newID(), "use_command": newID(), "gate": "failed"},
	}
	for v, body := range bodies {
		stranger.refused("north", v, body, commands.NotAllowed)
		if v.AtKeypad() {
			op.refused("north", v, body, commands.NotAllowed)
		}
	}
	for _, v := range []commands.Verb{commands.Audit, commands.Replay, commands.Verify} {
		stranger.refused(events.Whole, v, m{}, commands.NotAllowed)
		op.refused("north", v, m{}, commands.BadRequest)
	}
	op.refused(events.Whole, commands.List, m{}, commands.BadRequest)

	op.refused("north", commands.Show, m{"id": newID()}, commands.NotFound)
	op.refused("north", commands.Revoke, m{"command": newID(), "id": newID()}, commands.NotFound)
	a := op.issue("north")
	op.refused("north", commands.IssueVerb, anIssue(), commands.LimitReached)
	keypad.wants(*a.Code, "entry", "open entry")
	keypad.wants(*a.Code, "exit", "open exit")
	op.refused("north", commands.Revoke, m{"command": newID(), "id": a.ID}, commands.NotActive)
	b := op.issue("north")
	h.clock.move(time.Minute)
	op.refused("north", commands.Revoke, m{"command": newID(), "id": b.ID}, commands.Expired)
	keypad.wants(*b.Code, "entry", "expired")
	keypad.refused("north", commands.Receipt, m{"revision": 3, "hash": "wrong"}, commands.Conflict)
	keypad.refused("north", commands.Receipt, m{"revision": 9999, "hash": "wrong"}, commands.Conflict)
	h.history()
}

func TestMalformedRequestsAreBadRequests(t *testing.T) {
	h := alone(t, nil)
	op := h.operator
	op.configure("north", 10)
	before := len(h.history())
	with := func(k string, v any) m {
		b := anIssue()
		b[k] = v
		return b
	}
	for _, body := range []any{
		[]byte("not JSON"), []byte("[]"), []byte(`"x"`), []byte(`{} {}`), []byte(`{`), []byte{0, 255}, []byte(""),
		bytes.Repeat([]byte("["), 100000), bytes.Repeat([]byte(" "), 200000),
		with("unknown", 1), with("name", ""), with("mobile", ""), with("mobile", "call me"), with("mobile", "+49 170 1234567, +49 170 7654321"),
		with("name", strings.Repeat("x", 200000)), with("name", "a\u202eb"), with("validity_s", 0), with("validity_s", 365*24*3600),
		with("validity_s", "60"), with("command", ""), with("command", "x"), with("command", strings.ToLower(newID())),
	} {
		op.refused("north", commands.IssueVerb, body, commands.BadRequest)
	}
	for _, name := range []string{"North", "n_rth", "-north", strings.Repeat("n", 64), "größe"} {
		op.refused(name, commands.List, m{}, commands.BadRequest)
	}
	for _, limit := range []any{0, 1001, -1, 51, 1.5} {
		op.refused("north", commands.Configure, m{"command": newID(), "limit": limit}, commands.BadRequest)
	}
	for _, body := range []m{{"id": ""}, {"id": "x"}, {"id": newID(), "command": newID(), "wait_ms": -1}, {"id": newID(), "command": newID(), "wait_ms": int64(1) << 40}} {
		if body["command"] == nil {
			body["command"] = newID()
		}
		op.refused("north", commands.Revoke, body, commands.BadRequest)
	}
	// The largest that the server takes, and a subject that nobody listens on.
	op.refused("north", commands.IssueVerb, bytes.Repeat([]byte("x"), 256<<10), commands.BadRequest)
	if _, err := op.ask("north", "bless", m{}); err == nil || !strings.Contains(err.Error(), nats.ErrNoResponders.Error()) {
		t.Errorf("an unknown command: %v", err)
	}
	keypad := h.enroll("north")
	keypad.refused("north", commands.Use, m{"command": newID(), "match": "x", "direction": "up"}, commands.BadRequest)
	keypad.refused("north", commands.Use, m{"match": "x"}, commands.BadRequest)
	keypad.wants("12345", "", "unknown")
	keypad.wants("abcd", "", "unknown")
	if after := len(h.history()); after != before+1 {
		t.Errorf("%d events were stored by malformed requests", after-before-1)
	}
}

// Law 8: an answer goes to the caller's own inbox or nowhere, and what would
// have been answered elsewhere is not done.
func TestForgedReplySubjectsDoNothing(t *testing.T) {
	h := alone(t, nil)
	op, eve := h.operator, person(t, h.node, "eve")
	op.configure("north", 10)
	keypad := h.enroll("north")
	before := len(h.history())
	overheard, err := eve.nc.SubscribeSync(events.PersonInbox("eve") + ".>")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(anIssue())
	for _, reply := range []string{"ledger.north.revoked", "live.north.revoked", events.PersonInbox("eve") + ".x", "_in.p-operator", "_in.p-operatorx.y"} {
		if err := op.nc.PublishRequest(events.Request("north", "issue", op.actor), reply, body); err != nil {
			t.Fatal(err)
		}
		use, _ := json.Marshal(keypad.aUse("1234", ""))
		if err := keypad.nc.PublishRequest(events.Request("north", "use", keypad.actor), reply, use); err != nil {
			t.Fatal(err)
		}
	}
	keypad.wants("1234", "", "unknown") // and so all before it was heard
	op.must("north", commands.List, m{}, nil)
	if n := len(h.history()); n != before {
		t.Errorf("%d events came of forged requests", n-before)
	}
	if n, _, _ := overheard.Pending(); n != 0 {
		t.Errorf("%d answers went to somebody else", n)
	}
}

func TestOnlyTheEnrolledKeyIsAnswered(t *testing.T) {
	h := alone(t, func(s *setup) { s.service.End = func(...string) error { return nil } }) // servers that still let it in
	op := h.operator
	op.configure("north", 10)
	former := h.enroll("north")
	a := op.issue("north")
	former.wants("0000", "", "unknown")
	current := h.enroll("north")
	for _, v := range []commands.Verb{commands.Use, commands.Sync, commands.Receipt, commands.Fail} {
		former.silent("north", v, former.aUse(*a.Code, ""))
	}
	current.wants(*a.Code, "", "open entry")
	op.must("north", commands.Unenroll, m{"command": newID()}, nil)
	current.silent("north", commands.Use, current.aUse(*a.Code, "exit"))
	if n := count(h.history(), events.Exited); n != 0 {
		t.Errorf("%d exits of a key that was ended", n)
	}
}

func TestSyncReceiptAndWait(t *testing.T) {
	h := alone(t, nil)
	op := h.operator
	op.configure("north", 10)
	keypad := h.enroll("north")
	a := op.issue("north")
	var s commands.SyncAnswer
	keypad.must("north", commands.Sync, m{}, &s)
	if s.State == nil || s.State.Revision != s.Revision || len(s.State.Codes) != 1 || s.State.Codes[0].Sealed != nil ||
		s.Match[a.ID] != keypad.aUse(*a.Code, "")["match"] {
		t.Errorf("sync: %+v", s)
	}
	up := m{"revision": s.Revision, "hash": s.Hash}
	s = commands.SyncAnswer{}
	if keypad.must("north", commands.Sync, up, &s); s.State != nil || s.Diverged {
		t.Errorf("sync of who is up to date: %+v", s)
	}
	if keypad.must("north", commands.Sync, m{"revision": 2, "hash": "wrong"}, &s); !s.Diverged || s.State == nil {
		t.Errorf("sync of who diverged: %+v", s)
	}
	var r commands.RevokeAnswer
	revoke := m{"command": newID(), "id": a.ID, "wait_ms": 100}
	if op.must("north", commands.Revoke, revoke, &r); r.AppliedAt != nil {
		t.Errorf("applied before anybody said so: %+v", r)
	}
	// A receipt for what came before says nothing of the revoke.
	keypad.must("north", commands.Receipt, up, nil)
	if op.must("north", commands.Revoke, revoke, &r); r.AppliedAt != nil {
		t.Errorf("applied by an old receipt: %+v", r)
	}
	revoke["wait_ms"] = 10000
	waited := make(chan commands.RevokeAnswer)
	go func() {
		var r commands.RevokeAnswer
		if raw, err := op.ask("north", commands.Revoke, revoke); err == nil {
			_ = json.Unmarshal(raw, &r) // what is not there is seen below
		}
		waited <- r
	}()
	keypad.must("north", commands.Sync, m{}, &s)
	var first, second commands.ReceiptAnswer
	keypad.must("north", commands.Receipt, m{"revision": s.Revision, "hash": s.Hash}, &first)
	if r := <-waited; r.AppliedAt == nil || !r.AppliedAt.Equal(first.At) {
		t.Errorf("waited for a receipt: %+v, given at %s", r, first.At)
	}
	// A receipt is given once: repeated, its time is the first one's.
	if keypad.must("north", commands.Receipt, m{"revision": s.Revision, "hash": s.Hash}, &second); !second.At.Equal(first.At) {
		t.Errorf("the same receipt at %s and %s", first.At, second.At)
	}
	// And a ledger that has just started knows it, without being asked to wait.
	h.stop()
	again := serve(t, h.node, h.dir, nil)
	var show commands.ShowAnswer
	again.operator.must("north", commands.Show, m{"id": a.ID}, &show)
	if show.AppliedAt == nil || !show.AppliedAt.Equal(first.At) {
		t.Errorf("shown after a restart: applied at %v", show.AppliedAt)
	}
}

func TestDigitsAreUniqueForADay(t *testing.T) {
	h := alone(t, nil)
	h.operator.configure("north", 10)
	seen := map[string]bool{}
	draw := func() (again bool) {
		a := h.operator.issue("north")
		h.operator.must("north", commands.Revoke, m{"command": newID(), "id": a.ID}, nil)
		again = seen[*a.Code]
		seen[*a.Code] = true
		return again
	}
	for range 300 { // drawn blindly, some would come twice in 99 % of all runs
		if draw() {
			t.Fatal("digits came twice within a day")
		}
	}
	h.clock.move(23 * time.Hour)
	if draw() {
		t.Fatal("digits came again within a day")
	}
	h.clock.move(2 * time.Hour)
	draw()
	if st := h.service.Views().State("north"); len(st.Codes) > 10 {
		t.Errorf("%d codes are kept a day after they ended", len(st.Codes))
	}
	h.history()
}
