package commands_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"

	"github.com/oklog/ulid/v2"
)

const (
	s = time.Second
	m = time.Minute
	h = time.Hour
)

var start = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// id is the n-th of an endless row of ULIDs, in order.
func id(n int) string {
	var u ulid.ULID
	binary.BigEndian.PutUint64(u[8:], uint64(n)+1)
	if err := u.SetTime(ulid.Timestamp(start)); err != nil {
		panic(err)
	}
	return u.String()
}

func code(n int) string { return id(1000 + n) }

func ptr[T any](v T) *T { return &v }

func meta(s projections.State) commands.Meta {
	return commands.Meta{
		Intercom: "north", Actor: events.Operator, Via: events.ViaCLI, Command: id(9999), EventID: id(int(s.Revision) + 1),
	}
}

func atKeypad(s projections.State) commands.Meta {
	m := meta(s)
	m.Actor, m.Via = events.Actor{Kind: events.IntercomActor, ID: "north"}, events.ViaKeypad
	return m
}

func byClock(s projections.State) commands.Meta {
	m := meta(s)
	m.Actor, m.Via, m.Clock = events.Actor{}, events.ViaTimer, true
	return m
}

// deciding is a command, decided on a state at a time.
type deciding func(s projections.State, now time.Time) (events.Event, error)

func configure(r commands.ConfigureRequest) deciding {
	return func(s projections.State, _ time.Time) (events.Event, error) {
		return commands.DecideConfigure(s, meta(s), r)
	}
}

func issue(n int, validity *int64) deciding {
	return func(s projections.State, now time.Time) (events.Event, error) {
		r := commands.IssueRequest{Name: "Ada", Mobile: "12345", ValidityS: validity}
		return commands.DecideIssue(s, meta(s), r, commands.NewCode{ID: code(n), Sealed: []byte{1, 2}}, now)
	}
}

func revoke(n int) deciding {
	return func(s projections.State, now time.Time) (events.Event, error) {
		return commands.DecideRevoke(s, meta(s), code(n), now)
	}
}

func expire(n int) deciding {
	return func(s projections.State, now time.Time) (events.Event, error) {
		return commands.DecideExpire(s, byClock(s), code(n), now)
	}
}

func fail(n, useRevision int, gate string) deciding { return failUse(n, id(useRevision), gate) }

func failUse(n int, use, gate string) deciding {
	return func(s projections.State, now time.Time) (events.Event, error) {
		return commands.DecideFailed(s, atKeypad(s), code(n), use, gate, now)
	}
}

func enroll(key string) deciding {
	return func(s projections.State, _ time.Time) (events.Event, error) {
		return commands.DecideEnroll(s, meta(s), key)
	}
}

func unenroll(s projections.State, _ time.Time) (events.Event, error) {
	return commands.DecideUnenroll(s, meta(s))
}

// errRejected is a use that the keypad rejects: a decision, and no event.
type errRejected struct{ projections.Verdict }

func (errRejected) Error() string { return "rejected" }

func use(n int, d projections.Direction) deciding {
	return func(s projections.State, now time.Time) (events.Event, error) {
		e, v, err := commands.DecideUse(s, atKeypad(s), code(n), d, now)
		if err == nil && v.Reason != "" {
			return e, errRejected{v}
		}
		return e, err
	}
}

// step is one command at a time after the start.
type step struct {
	after time.Duration
	deciding
}

// stored is the decided event as the stream would have it.
func stored(t testing.TB, s projections.State, e events.Event, now time.Time) events.Stored {
	t.Helper()
	raw, err := e.Chained("north", s.Link, now).Encode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := events.Decode(raw, s.Sequence+1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// given decides and applies each step; each must be accepted and break no law.
func given(t testing.TB, steps ...step) projections.State {
	t.Helper()
	var s projections.State
	for i, p := range steps {
		now := start.Add(p.after)
		e, err := p.deciding(s, now)
		if err != nil {
			t.Fatalf("given step %d: %v", i, err)
		}
		s = append1(t, s, e, now)
	}
	return s
}

func append1(t testing.TB, s projections.State, e events.Event, now time.Time) projections.State {
	t.Helper()
	out := stored(t, s, e, now)
	if b := projections.Breaks(s, out); b != nil {
		t.Fatalf("%s breaks law %d: %s", e.Type, b.Law, b.Message)
	}
	next, err := projections.Apply(s, out)
	if err != nil || next.Stopped != "" {
		t.Fatalf("%s does not apply: %v %s", e.Type, err, next.Stopped)
	}
	return next
}

// word is the refusal word of an error, "" for none.
func word(err error) commands.Code {
	var r *commands.Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.Code
	}
	return commands.Code("no refusal: " + err.Error())
}

func dataOf[T any](t testing.TB, e events.Event) T {
	t.Helper()
	var d T
	if err := json.Unmarshal(e.Data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// enrolled lets the intercom act: without it, entries and exits break law 8.
var enrolled = step{0, enroll("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4")}

var configured = step{0, configure(commands.ConfigureRequest{EntryDevice: ptr("in"), ExitDevice: ptr("out"), Limit: ptr(2), ValidityS: ptr(int64(3600))})}
