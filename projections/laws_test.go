package projections_test

import (
	"testing"

	"gatebook/events"
	"gatebook/projections"
)

// Histories that must fail: what Breaks does not catch here, the verifier does
// not find.
func TestBreaksCatches(t *testing.T) {
	one := []step{settings, enrolment, issued(0, 1, h, false)}
	in := append(one[:3:3], entered(s, 1))
	out := append(in[:4:4], exited(2*s, 1))
	gone := append(in[:4:4], revoked(2*s, 1))
	over := []step{settings, enrolment, issued(0, 1, m, false), entered(s, 1)}
	wrote := append(over[:4:4], expired(m, 1))
	once := []step{settings, enrolment, issued(0, 1, m, true), entered(s, 1), expired(m, 1)}
	late := []step{settings, enrolment, issued(0, 1, h, true), entered(s, 1), failed(61*s, 1, 4, "failed")}
	keep := func(*events.Event) {}
	by := func(who string) func(*events.Event) { return func(e *events.Event) { e.By = who } }
	for _, c := range []struct {
		law   int
		name  string
		given []step
		when  step
		edit  func(*events.Event)
	}{
		{1, "entered twice", in, entered(2*s, 1), keep},
		{1, "entered after the exit", out, entered(3*s, 1), keep},
		{1, "exited twice", out, exited(3*s, 1), keep},
		{1, "exited without an entry", one, exited(s, 1), keep},
		{1, "exit given back, then entered", append(out[:5:5], failed(3*s, 1, 5, "failed")), entered(4*s, 1), keep},
		{1, "timed out, then entered again", append(in[:4:4], failed(2*s, 1, 4, "timeout")), entered(3*s, 1), keep},
		{1, "revoked when spent", out, revoked(3*s, 1), keep},
		{1, "revoked twice", gone, revoked(3*s, 1), keep},
		{1, "revoked and never issued", one, revoked(s, 2), keep},
		{1, "expired when spent", out, expired(h, 1), keep},
		{1, "expired when revoked", gone, expired(h, 1), keep},
		{1, "expired twice", wrote, expired(2*m, 1), keep},
		{2, "entered when revoked", append(one[:3:3], revoked(s, 1)), entered(2*s, 1), keep},
		{2, "exited when revoked", gone, exited(3*s, 1), keep},
		{2, "entered when revoked, leave once", []step{settings, enrolment, issued(0, 1, h, true), entered(s, 1), revoked(2*s, 1)}, entered(3*s, 1), keep},
		{2, "left twice", []step{settings, enrolment, issued(0, 1, h, true), entered(s, 1), revoked(2*s, 1), exited(3*s, 1, "leave_once")}, exited(4*s, 1, "leave_once"), keep},
		{2, "left a day late", []step{settings, enrolment, issued(0, 1, h, true), entered(s, 1), revoked(2*s, 1)}, exited(2*s+24*h, 1, "leave_once"), keep},
		{1, "issued twice", one, issued(s, 1, h, false), keep},
		{1, "answered for a use that never was", in, failed(2*s, 1, 3, "failed"), keep},
		{1, "answered for no use", one, step{s, events.Failed, events.FailedData{CodeID: code(1), Gate: "failed"}}, keep},
		{1, "answered for a code that never was", in, failed(2*s, 2, 4, "failed"), keep},
		{1, "answered twice", append(in[:4:4], failed(2*s, 1, 4, "timeout")), failed(3*s, 1, 4, "failed"), keep},
		{1, "answered when given back", append(in[:4:4], failed(2*s, 1, 4, "failed")), failed(3*s, 1, 4, "timeout"), keep},
		{2, "left once and not flagged", []step{settings, enrolment, issued(0, 1, h, true), entered(s, 1), revoked(2*s, 1)}, exited(3*s, 1), keep},
		{2, "flagged and not left once", in, exited(2*s, 1, "leave_once"), keep},
		{2, "flagged twice", []step{settings, enrolment, issued(0, 1, h, true), entered(s, 1), revoked(2*s, 1)}, exited(3*s, 1, "leave_once", "leave_once"), keep},
		{1, "answered for the entry after the exit", out, failed(3*s, 1, 4, "failed"), keep},
		{1, "timed out for the entry after the exit", out, failed(3*s, 1, 4, "timeout"), keep},
		{1, "answered for the entry when the exit was given back", append(out[:5:5], failed(3*s, 1, 5, "failed")), failed(4*s, 1, 4, "failed"), keep},
		{2, "left once and never let in, revoked", append(late[:5:5], revoked(2*m, 1)), exited(3*m, 1, "leave_once"), keep},
		{2, "left once and never let in, revoked first", []step{settings, enrolment, issued(0, 1, h, true), entered(s, 1), revoked(2*s, 1), failed(3*s, 1, 4, "failed")},
			exited(4*s, 1, "leave_once"), keep},
		{4, "entered and never issued", one, entered(s, 2), keep},
		{4, "exited and never issued", one, exited(s, 2), keep},
		{5, "one over the limit", []step{settings, enrolment, issued(0, 1, h, false), issued(0, 2, h, false)}, issued(s, 3, h, false), keep},
		{5, "over a lowered limit", []step{settings, enrolment, issued(0, 1, h, false), withSettings(1, 1)}, issued(s, 3, h, false), keep},
		{6, "gap", one, entered(s, 1), func(e *events.Event) { e.Revision++ }},
		{6, "again", one, entered(s, 1), func(e *events.Event) { e.Revision-- }},
		{6, "previous edited", one, entered(s, 1), func(e *events.Event) { e.Prev = events.Hash([]byte("x")) }},
		{6, "head cut off", nil, issued(0, 1, h, false), func(e *events.Event) { e.Prev = events.Hash([]byte("x")) }},
		{6, "of another intercom", one, entered(s, 1), func(e *events.Event) { e.Intercom, e.By = "south", "intercom:south" }},
		{6, "edited and back in time", in, exited(2*s, 1), func(e *events.Event) { e.At, e.Prev = start, events.Genesis }},
		{7, "who is outside the grammar", one, entered(s, 1), func(e *events.Event) { e.By = "who knows" }},
		{7, "who is without a name", one, entered(s, 1), func(e *events.Event) { e.By = "person:" }},
		{7, "how is outside the grammar", one, entered(s, 1), func(e *events.Event) { e.Via = "telepathy" }},
		{7, "nobody", one, entered(s, 1), func(e *events.Event) { e.By = "" }},
		{7, "no way", one, entered(s, 1), func(e *events.Event) { e.Via = "" }},
		{7, "no command", one, entered(s, 1), func(e *events.Event) { e.Command = "" }},
		{7, "command is no ULID", one, entered(s, 1), func(e *events.Event) { e.Command = "x" }},
		{7, "nobody, in a version that is not known", one, entered(s, 1), func(e *events.Event) { e.By, e.V = "", 2 }},
		{8, "entered by a person", one, entered(s, 1), func(e *events.Event) { e.By = "person:eve" }},
		{8, "exited by the operator", in, exited(2*s, 1), func(e *events.Event) { e.By = "operator" }},
		{8, "entered by another intercom", one, entered(s, 1), func(e *events.Event) { e.By = "intercom:south" }},
		{8, "answered by a person", in, failed(2*s, 1, 4, "failed"), func(e *events.Event) { e.By = "person:eve" }},
		{8, "expired by a person", one, expired(h, 1), func(e *events.Event) { e.By = "person:eve" }},
		{8, "first configured by a person", nil, settings, by("person:ada")},
		{8, "first configured by an intercom", nil, settings, by("intercom:north")},
		{8, "enrolled by a person before there is an owner", nil, enrolment, by("person:ada")},
		{8, "configured by a stranger", one, settings, by("person:eve")},
		{8, "issued by a stranger", one, issued(s, 2, h, false), by("person:eve")},
		{8, "issued by an intercom", one, issued(s, 2, h, false), by("intercom:north")},
		{8, "issued by the clock", one, issued(s, 2, h, false), by("clock")},
		{8, "revoked by a stranger", one, revoked(s, 1), by("person:eve")},
		{8, "revoked by the clock", one, revoked(s, 1), by("clock")},
		{8, "enrolled by a stranger", one, enrolledAs("U2"), by("person:eve")},
		{8, "unenrolled by a stranger", one, unenrolledAs("U1"), by("person:eve")},
		{8, "unenrolled by the intercom", one, unenrolledAs("U1"), by("intercom:north")},
		{8, "entered with nobody enrolled yet", []step{settings, issued(0, 1, h, false)}, entered(s, 1), keep},
		{8, "entered with nobody enrolled any more", append(one[:3:3], unenrolledAs("U1")), entered(s, 1), keep},
		{8, "exited with nobody enrolled any more", append(in[:4:4], unenrolledAs("U1")), exited(2*s, 1), keep},
		{8, "left once with nobody enrolled any more", append(once[:5:5], unenrolledAs("U1").at(m)), exited(2*m, 1, "leave_once"), keep},
		{10, "entered at another gate", one, step{s, events.Entered, events.UsedData{CodeID: code(1), Device: "out"}}, keep},
		{10, "exited at another gate", in, step{2 * s, events.Exited, events.UsedData{CodeID: code(1), Device: "in"}}, keep},
		{10, "issued with another entry", one[:2], withGates("elsewhere", "out"), keep},
		{10, "issued with another exit", one[:2], withGates("in", "in"), keep},
		{10, "issued with leave-once, settings without", one[:2], issued(0, 1, h, true), keep},
		{10, "issued before the settings", nil, issued(0, 1, h, false), keep},
		{11, "back in time", in, exited(2*s, 1), func(e *events.Event) { e.At = start }},
		{11, "issued already over", one, issued(s, 2, 0, false), keep},
		{11, "issued for too long", one, issued(s, 2, 720*h+2*s, false), keep},
		{11, "entered when over", []step{settings, enrolment, issued(0, 1, m, false)}, entered(m, 1), keep},
		{11, "exited when over", over, exited(m, 1), keep},
		{11, "exited when over and written", wrote, exited(m, 1), keep},
		{11, "entered when over, leave once", once, entered(2*m, 1), keep},
		{11, "left a day late, expired", once, exited(m+24*h-1+1, 1, "leave_once"), keep},
		{11, "expired too early", over, expired(m-1, 1), keep},
		{11, "revoked too late", over, revoked(m, 1), keep},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := given(t, c.given...)
			b := projections.Breaks(state, c.when.edited(t, state, c.edit))
			if b == nil || b.Law != c.law || b.Message == "" {
				t.Errorf("got %+v, want law %d", b, c.law)
			}
		})
	}
}

// Histories that break nothing, at the edges.
func TestBreaksLetsThrough(t *testing.T) {
	one := []step{settings, enrolment, issued(0, 1, h, false)}
	in := append(one[:3:3], entered(s, 1))
	full := []step{settings, enrolment, issued(0, 1, m, false), issued(0, 2, h, false)}
	once := []step{settings, enrolment, issued(0, 1, m, true), entered(s, 1)}
	for _, c := range []struct {
		name  string
		given []step
		when  step
	}{
		{"first event", nil, settings},
		{"the last slot", one, issued(s, 2, h, false)},
		{"slot of one that expired this instant", full, issued(m, 3, h, false)},
		{"slot of one that was revoked", append(full[:4:4], revoked(s, 2)), issued(s, 3, h, false)},
		{"longest validity", one, issued(s, 2, 720*h, false)},
		{"entered in the last instant", one, entered(h-1, 1)},
		{"entered in the first instant", one, entered(0, 1)},
		{"exited in the last instant", in, exited(h-1, 1)},
		{"entered again when given back", append(in[:4:4], failed(2*s, 1, 4, "failed")), entered(3*s, 1)},
		{"revoked in the last instant", in, revoked(h-1, 1)},
		{"expired at its end", in, expired(h, 1)},
		{"expired long after", in, expired(1000*h, 1)},
		{"left once, nobody wrote that it expired", once, exited(m, 1, "leave_once")},
		{"left once in the last instant", append(once[:4:4], expired(m, 1)), exited(m+24*h-1, 1, "leave_once")},
		{"left once when revoked", append(once[:4:4], revoked(2*s, 1)), exited(3*s, 1, "leave_once")},
		{"left once again when given back", append(once[:4:4], exited(m, 1, "leave_once"), failed(m+s, 1, 5, "failed")), exited(m+2*s, 1, "leave_once")},
		{"expired when given back", append(once[:4:4], exited(m, 1, "leave_once"), failed(m+s, 1, 5, "failed")), expired(m+2*s, 1)},
		{"answered", in, failed(2*s, 1, 4, "failed")},
		{"answered when revoked", append(in[:4:4], revoked(2*s, 1)), failed(3*s, 1, 4, "failed")},
		{"exit answered", append(in[:4:4], exited(2*s, 1)), failed(3*s, 1, 5, "timeout")},
		{"exited in time when the entry failed too late", append(in[:4:4], failed(61*s, 1, 4, "failed")), exited(2*m, 1)},
		{"left once when the entry timed out", append(once[:4:4], failed(2*s, 1, 4, "timeout"), revoked(3*s, 1)), exited(4*s, 1, "leave_once")},
		{"entered with another key", append(one[:3:3], unenrolledAs("U1"), enrolledAs("U2")), entered(s, 1)},
		{"enrolled before there is an owner", nil, enrolment},
		{"exit the same as the entry", []step{sameGate}, withGates("in", "in")},
		{"unknown type", one, step{s, "blessed", nil}},
		{"after an unknown type", append(one[:3:3], step{s, "blessed", nil}), entered(2*s, 7)},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := given(t, c.given...)
			if b := projections.Breaks(state, c.when.stored(t, state)); b != nil {
				t.Errorf("breaks law %d: %s", b.Law, b.Message)
			}
		})
	}
}

var sameGate = step{0, events.Configured, events.ConfiguredData{EntryDevice: "in", Limit: 2, ValidityS: 3600}}

func withGates(entry, exit string) step {
	d := issued(0, 1, h, false).data.(events.IssuedData)
	d.EntryDevice, d.ExitDevice = entry, exit
	return step{0, events.Issued, d}
}

// By somebody else than the owner, in a state or a version that may have rules
// for it which this version does not know: not for this version to judge.
func TestBreaksLeavesToLaterVersionsWhoMay(t *testing.T) {
	granted := step{s, events.Granted, map[string]string{"person": "bob"}}
	byBob := func(e *events.Event) { e.By = "person:bob" }
	for _, c := range []struct {
		name  string
		given []step
		edit  func(*events.Event)
	}{
		{"after a grant", []step{settings, granted}, byBob},
		{"in a later version", []step{settings}, func(e *events.Event) { byBob(e); e.V = 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			state := given(t, c.given...)
			if b := projections.Breaks(state, issued(2*s, 1, h, false).edited(t, state, c.edit)); b != nil {
				t.Errorf("breaks law %d: %s", b.Law, b.Message)
			}
		})
	}
}

// The owner is who saved the first settings, and nobody else acts for people.
func TestBreaksKnowsTheOwner(t *testing.T) {
	first := settings.edited(t, projections.State{}, func(e *events.Event) { e.By = "person:ada" })
	state := apply(t, projections.State{}, first)
	for _, p := range []step{settings, issued(s, 1, h, false), enrolment} {
		if b := projections.Breaks(state, p.edited(t, state, func(e *events.Event) { e.By = "person:ada" })); b != nil {
			t.Errorf("%s by the owner: %+v", p.t, b)
		}
		if b := projections.Breaks(state, p.stored(t, state)); b == nil || b.Law != 8 {
			t.Errorf("%s by the operator, who is not the owner: %+v", p.t, b)
		}
	}
}
