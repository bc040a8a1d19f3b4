package commands_test

import (
	"slices"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"

	"pgregory.net/rapid"
)

// machine is one intercom's ledger, run by random commands on a clock that only
// goes on, and the gates as a bystander sees them. The intercom is honest: it
// says "failed" only of a gate that did not open, and asks again only where it
// did not hear the answer.
type machine struct {
	t     *testing.T
	now   time.Time
	state projections.State
	next  int // code
	codes []string
	codeOf
	uses []*used // all so far
}

// codeOf is what a bystander knows of each code.
type codeOf map[string]*seen

type seen struct {
	issued         events.IssuedData
	told           time.Time // since when somebody knows that it is revoked
	entries, exits int       // gates that opened, or may have
}

// used is one use and what became of it.
type used struct {
	events.Stored
	code     string
	gate     string // "" not told to open yet, "done", "failed", "timeout"
	answered bool   // the ledger knows, or has seen the guest leave
	told     bool   // the ledger was told that the gate did not open
}

// code draws a code: mostly a recent one, now and then one that never was.
func (m *machine) code(t *rapid.T) string {
	if len(m.codes) == 0 || rapid.IntRange(0, 9).Draw(t, "stray") == 0 {
		return code(0)
	}
	return rapid.SampledFrom(m.codes[max(0, len(m.codes)-3):]).Draw(t, "code")
}

// take stores what was decided, and checks what every event must keep.
func (m *machine) take(t *rapid.T, e events.Event, err error) (events.Stored, bool) {
	if err != nil {
		if r := word(err); len(r) > 20 {
			t.Fatal(err)
		}
		return events.Stored{}, false
	}
	before := m.state
	out := stored(m.t, before, e, m.now)
	if b := projections.Breaks(before, out); b != nil {
		t.Fatalf("%s breaks law %d: %s", e.Type, b.Law, b.Message)
	}
	after, err := projections.Apply(before, out)
	if err != nil || after.Stopped != "" {
		t.Fatalf("%s: %v %s", e.Type, err, after.Stopped)
	}
	if is, was := after.Count(m.now), before.Count(m.now); is > was && is > after.Settings.Limit {
		t.Fatalf("law 5: %d live after %s, limit %d", is, e.Type, after.Settings.Limit)
	}
	for _, c := range after.Codes {
		if c.GivenBack > projections.MaxFailed {
			t.Fatalf("%s was given back %d times", c.ID, c.GivenBack)
		}
	}
	m.state = after
	return out, true
}

func (m *machine) configure(t *rapid.T) {
	r := commands.ConfigureRequest{
		Limit: ptr(rapid.IntRange(1, 4).Draw(t, "limit")), RetryS: ptr(rapid.Int64Range(0, 90).Draw(t, "retry")),
		ValidityS: ptr(rapid.Int64Range(60, 7200).Draw(t, "validity")), LeaveOnce: ptr(rapid.Bool().Draw(t, "leave once")),
		EntryDevice: ptr(rapid.SampledFrom([]string{"in", "front"}).Draw(t, "entry")), ExitDevice: ptr(rapid.SampledFrom([]string{"", "out"}).Draw(t, "exit")),
	}
	e, err := commands.DecideConfigure(m.state, meta(m.state), r)
	m.take(t, e, err)
}

func (m *machine) issue(t *rapid.T) {
	m.next++
	var r commands.IssueRequest
	if rapid.Bool().Draw(t, "named") {
		r.ValidityS = ptr(rapid.Int64Range(60, 720*3600).Draw(t, "validity"))
	}
	e, err := commands.DecideIssue(m.state, meta(m.state), r, commands.NewCode{ID: code(m.next), Sealed: []byte{1}}, m.now)
	if _, ok := m.take(t, e, err); ok {
		m.codes = append(m.codes, code(m.next))
		m.codeOf[code(m.next)] = &seen{issued: dataOf[events.IssuedData](m.t, e)}
	}
}

func (m *machine) revoke(t *rapid.T) {
	c := m.code(t)
	e, err := commands.DecideRevoke(m.state, meta(m.state), c, m.now)
	if _, ok := m.take(t, e, err); ok {
		m.codeOf[c].told = m.now
	}
}

func (m *machine) expire(t *rapid.T) {
	e, err := commands.DecideExpire(m.state, byClock(m.state), m.code(t), m.now)
	m.take(t, e, err)
}

// enrol changes the key, and seldom ends it; codes do not care.
func (m *machine) enrol(t *rapid.T) {
	if m.state.Enrolled != "" && rapid.IntRange(0, 3).Draw(t, "end") == 0 {
		e, err := commands.DecideUnenroll(m.state, meta(m.state))
		m.take(t, e, err)
		return
	}
	e, err := commands.DecideEnroll(m.state, meta(m.state), publicKey(m.t))
	m.take(t, e, err)
}

// admitted: nobody acts as an intercom that is not enrolled (law 8).
func (m *machine) admitted(t *rapid.T, v commands.Verb) bool {
	err := commands.Admit(m.state, atKeypad(m.state), v)
	if (err == nil) != (m.state.Enrolled != "") {
		t.Fatalf("law 8: %s, enrolled %q: %v", v, m.state.Enrolled, err)
	}
	return err == nil
}

func (m *machine) use(t *rapid.T) {
	if !m.admitted(t, commands.Use) {
		return
	}
	c := m.code(t)
	d := rapid.SampledFrom([]projections.Direction{"", "", "entry", "exit", "in"}).Draw(t, "direction")
	e, v, err := commands.DecideUse(m.state, atKeypad(m.state), c, d, m.now)
	if err == nil && v.Reason != "" {
		return
	}
	out, ok := m.take(t, e, err)
	if !ok {
		t.Fatalf("neither opened nor rejected: %v", err)
	}
	if out.Type == events.Exited { // who leaves was let in
		for _, u := range m.uses {
			u.answered = u.answered || u.code == c && u.Type == events.Entered
		}
	}
	u := &used{Stored: out, code: c}
	m.uses = append(m.uses, u)
	if rapid.IntRange(0, 3).Draw(t, "answer lost") > 0 {
		m.open(t, u, v)
	}
}

// again repeats a use. Where the intercom has heard already, only what the
// ledger says counts.
func (m *machine) again(t *rapid.T) {
	if len(m.uses) == 0 {
		return
	}
	u := rapid.SampledFrom(m.uses[max(0, len(m.uses)-4):]).Draw(t, "use")
	v := commands.Again(m.state, u.Stored, u.code, m.now)
	c, _ := m.state.Code(u.code)
	stands := u.ID == c.EntryUse || u.ID == c.ExitUse
	switch {
	case v.Reason != "":
	case u.answered, !stands:
		t.Fatalf("law 4: %s of %s opens again (answered %v, stands %v)", u.Type, u.code, u.answered, stands)
	case u.gate == "":
		m.open(t, u, v)
	default:
		m.mayOpen(t, u, v)
	}
}

// open tells the gate to open.
func (m *machine) open(t *rapid.T, u *used, v projections.Verdict) {
	m.mayOpen(t, u, v)
	u.gate = rapid.SampledFrom([]string{"done", "failed", "failed", "timeout"}).Draw(t, "gate")
	if u.gate == "failed" {
		return
	}
	c := m.codeOf[u.code]
	if u.Type == events.Entered {
		c.entries++
	} else {
		c.exits++
	}
	if c.entries > 1 || c.exits > 1 {
		t.Fatalf("law 1: gates opened for %d entries and %d exits of %s", c.entries, c.exits, u.code)
	}
}

// mayOpen checks one opening by what everybody knows of the code.
func (m *machine) mayOpen(t *rapid.T, u *used, v projections.Verdict) {
	c, want := m.codeOf[u.code], events.Entered
	device := c.issued.EntryDevice
	if v.Direction == projections.Exit {
		want, device = events.Exited, c.issued.ExitDevice
	}
	if u.Type != want || v.Device != device {
		t.Fatalf("law 10: %s of %s opens %+v", u.Type, u.code, v)
	}
	end, law := c.issued.ExpiresAt, 11
	if !c.told.IsZero() {
		end, law = c.told, 2
	}
	ended := law == 2 || !m.now.Before(end)
	once := c.issued.LeaveOnce && u.Type == events.Exited && m.now.Before(end.Add(24*time.Hour))
	if ended && !once {
		t.Fatalf("law %d: %s of %s at %s, ended at %s", law, u.Type, u.code, m.now, end)
	}
	if ended && m.shutOut(u.code) {
		t.Fatalf("law %d: %s leaves once and never got in", law, u.code)
	}
	if slices.Contains(v.Flags, events.FlagLeaveOnce) != ended {
		t.Fatalf("law 2: %s of %s is flagged %v", u.Type, u.code, v.Flags)
	}
}

// shutOut: the ledger was told that the gate did not open for the last entry.
func (m *machine) shutOut(code string) bool {
	for _, u := range slices.Backward(m.uses) {
		if u.code == code && u.Type == events.Entered {
			return u.told && u.gate == "failed"
		}
	}
	return false
}

// report tells the ledger of a gate that did not open, sooner or later or twice.
func (m *machine) report(t *rapid.T) {
	var told []*used
	for _, u := range m.uses[max(0, len(m.uses)-6):] {
		if u.gate == "failed" || u.gate == "timeout" {
			told = append(told, u)
		}
	}
	if len(told) == 0 {
		return
	}
	u := rapid.SampledFrom(told).Draw(t, "use")
	if !m.admitted(t, commands.Fail) {
		return
	}
	before, known := m.state.Code(u.code)
	e, err := commands.DecideFailed(m.state, atKeypad(m.state), u.code, u.ID, u.gate, m.now)
	if _, ok := m.take(t, e, err); ok == (u.answered || !known) {
		t.Fatalf("%s of %s, answered %v, known %v: %v", u.gate, u.code, u.answered, known, err)
	} else if !ok {
		return
	}
	u.answered, u.told = true, true
	after, ok := m.state.Code(u.code)
	if was, is := before.Live(m.now), after.Live(m.now); ok && !was && is && (before.ExitUse != u.ID || before.Status(m.now) != projections.Spent) {
		t.Fatalf("%s was %s and lives again", u.code, before.Status(m.now))
	}
	if ok && u.gate == "timeout" && (after.EntryUse != before.EntryUse || after.ExitUse != before.ExitUse) {
		t.Fatal("a time-out gave something back")
	}
}

// stray reports what nobody asked: a use of another code, or none.
func (m *machine) stray(t *rapid.T) {
	c, id := m.code(t), ""
	if len(m.uses) > 0 && rapid.Bool().Draw(t, "another's") {
		if u := rapid.SampledFrom(m.uses).Draw(t, "use"); u.code != c {
			id = u.ID
		}
	}
	if e, err := commands.DecideFailed(m.state, atKeypad(m.state), c, id, "failed", m.now); err == nil {
		t.Fatalf("recorded: %s", e.Data)
	}
}

// wait lets time go on: by nothing, by a little, or right to the edge of
// something.
func (m *machine) wait(t *rapid.T) {
	to := m.now.Add(rapid.SampledFrom([]time.Duration{0, 1, time.Second, 30 * time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "wait"))
	if len(m.state.Codes) > 0 && rapid.Bool().Draw(t, "to an edge") {
		c := rapid.SampledFrom(m.state.Codes).Draw(t, "whose")
		edges := []time.Time{c.ExpiresAt, c.ExpiresAt.Add(24 * time.Hour), c.RevokedAt.Add(24 * time.Hour), c.ExitedAt.Add(24 * time.Hour)}
		if m.state.Settings != nil {
			retry := time.Duration(m.state.Settings.RetryS) * time.Second
			edges = append(edges, c.EnteredAt.Add(retry), c.ExitedAt.Add(retry))
		}
		to = rapid.SampledFrom(edges).Draw(t, "edge").Add(rapid.SampledFrom([]time.Duration{-1, 0, 1}).Draw(t, "side"))
	}
	if to.After(m.now) {
		m.now = to
	}
}

// Whatever is asked, in whatever order: what is decided breaks no law, and
// neither does what the gates do.
func TestDecidingBreaksNoLaw(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{t: t, now: start, codeOf: codeOf{}}
		m.configure(rt)
		e, err := enrolled.deciding(m.state, m.now)
		m.take(rt, e, err)
		rt.Repeat(map[string]func(*rapid.T){
			"configure": m.configure, "issue": m.issue, "issue more": m.issue, "revoke": m.revoke, "expire": m.expire, "enrol": m.enrol,
			"use": m.use, "use more": m.use, "use most": m.use, "again": m.again, "again more": m.again,
			"report": m.report, "report more": m.report, "stray": m.stray, "wait": m.wait, "wait more": m.wait,
		})
	})
}
