package projections_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/projections"

	"github.com/oklog/ulid/v2"
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

// code is the id of the n-th code, and use the id of the event at a revision.
func code(n int) string { return id(1000 + n) }
func use(n int) string  { return id(n) }

// step is an event to be: what, when after the start, with which data.
type step struct {
	after time.Duration
	t     events.Type
	data  any
}

// stored makes the step's event the next one of s. Its id is use(revision).
func (p step) stored(t testing.TB, s projections.State) events.Stored {
	t.Helper()
	return p.edited(t, s, func(*events.Event) {})
}

// edited is stored with something about the event changed first.
func (p step) edited(t testing.TB, s projections.State, edit func(*events.Event)) events.Stored {
	t.Helper()
	by, via := "operator", events.ViaCLI
	switch p.t {
	case events.Entered, events.Exited, events.Failed:
		by, via = "intercom:north", events.ViaKeypad
	case events.Expired:
		by, via = events.ByClock, events.ViaTimer
	}
	e, err := events.New(use(int(s.Revision)+1), p.t, by, via, id(9999), p.data)
	if err != nil {
		t.Fatal(err)
	}
	e = e.Chained("north", s.Link, start.Add(p.after))
	edit(&e)
	raw, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := events.Decode(raw, s.Sequence+1)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func apply(t testing.TB, s projections.State, e events.Stored) projections.State {
	t.Helper()
	next, err := projections.Apply(s, e)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func given(t testing.TB, steps ...step) projections.State {
	t.Helper()
	var s projections.State
	for _, p := range steps {
		s = apply(t, s, p.stored(t, s))
	}
	return s
}

func encode(t testing.TB, s projections.State) []byte {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// reread is the state as a kept view gives it back.
func reread(t testing.TB, s projections.State) projections.State {
	t.Helper()
	var back projections.State
	raw := encode(t, s)
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if again := encode(t, back); !bytes.Equal(raw, again) {
		t.Fatalf("a kept state changes\n%s\n%s", raw, again)
	}
	return back
}

var settings = step{0, events.Configured, events.ConfiguredData{EntryDevice: "in", ExitDevice: "out", Limit: 2, ValidityS: 3600, RetryS: 60}}

func withSettings(limit int, retry int64) step {
	d := settings.data.(events.ConfiguredData)
	d.Limit, d.RetryS = limit, retry
	return step{0, events.Configured, d}
}

func enrolledAs(key string) step {
	return step{0, events.Enrolled, events.EnrolledData{PublicKey: key}}
}

func unenrolledAs(key string) step {
	return step{0, events.Unenrolled, events.UnenrolledData{PublicKey: key}}
}

// enrolment lets the intercom act: without it, entries and exits break law 8.
var enrolment = enrolledAs("U1")

func issued(after time.Duration, n int, validity time.Duration, leaveOnce bool) step {
	return step{after, events.Issued, events.IssuedData{
		CodeID: code(n), Sealed: []byte{byte(n), '<'}, ExpiresAt: start.Add(after + validity),
		EntryDevice: "in", ExitDevice: "out", LeaveOnce: leaveOnce,
	}}
}

func entered(after time.Duration, n int) step {
	return step{after, events.Entered, events.UsedData{CodeID: code(n), Device: "in"}}
}

func exited(after time.Duration, n int, flags ...string) step {
	return step{after, events.Exited, events.UsedData{CodeID: code(n), Device: "out", Flags: flags}}
}

func revoked(after time.Duration, n int) step {
	return step{after, events.Revoked, events.EndedData{CodeID: code(n)}}
}

func expired(after time.Duration, n int) step {
	return step{after, events.Expired, events.EndedData{CodeID: code(n)}}
}

func failed(after time.Duration, n, useRevision int, gate string) step {
	return step{after, events.Failed, events.FailedData{CodeID: code(n), Use: use(useRevision), Gate: gate}}
}
