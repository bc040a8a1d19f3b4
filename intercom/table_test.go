package intercom

import (
	"errors"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/projections"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// chain makes the events of one intercom.
type chain struct {
	t     testing.TB
	state projections.State
	now   time.Time
}

func newChain(t testing.TB) *chain { return &chain{t: t, now: noon} }

func (c *chain) add(kind events.Type, data any) events.Stored {
	c.t.Helper()
	e, err := events.New(ulid.Make().String(), kind, events.ByOperator, events.ViaCLI, ulid.Make().String(), data)
	if err != nil {
		c.t.Fatal(err)
	}
	raw, err := e.Chained("gate", c.state.Link, c.now).Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := events.Decode(raw, c.state.Sequence+1)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.state, err = projections.Apply(c.state, s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *chain) configured() events.Stored {
	return c.add(events.Configured, events.ConfiguredData{EntryDevice: "front", ExitDevice: "back", Limit: 10, ValidityS: 3600, RetryS: 60})
}

func (c *chain) issued(leaveOnce bool) (id string, e events.Stored) {
	id = ulid.Make().String()
	return id, c.add(events.Issued, events.IssuedData{
		CodeID: id, Sealed: []byte("box"), ExpiresAt: c.now.Add(time.Hour),
		EntryDevice: "front", ExitDevice: "back", LeaveOnce: leaveOnce,
	})
}

func (c *chain) ended(kind events.Type, id string) events.Stored {
	return c.add(kind, events.EndedData{CodeID: id})
}

func (c *chain) used(kind events.Type, id string) events.Stored {
	return c.add(kind, events.UsedData{CodeID: id, Device: "front"})
}

// branch goes on from here along another chain.
func (c *chain) branch() *chain { other := *c; return &other }

func (c *chain) answer() commands.SyncAnswer {
	s := c.state
	return commands.SyncAnswer{Revision: s.Revision, Hash: s.Hash, Time: c.now, State: &s}
}

func matchOf(digits string) matched {
	m, _ := parseMatch(seal.Match(testKey(), digits))
	return m
}

func testKey() (k seal.Key) { k[0] = 1; return k }

func mustFollow(t testing.TB, tb *table, e events.Stored) *table {
	t.Helper()
	next, err := tb.follow(e)
	if err != nil {
		t.Fatalf("follow revision %d: %v", e.Revision, err)
	}
	return next
}

func mustAdopt(t testing.TB, tb *table, asked events.Link, a commands.SyncAnswer, matches map[string]matched) *table {
	t.Helper()
	next, err := tb.adopt(asked, a, matches)
	if err != nil {
		t.Fatalf("adopt revision %d: %v", a.Revision, err)
	}
	return next
}

func TestFollow(t *testing.T) {
	c := newChain(t)
	first := c.configured()
	id, second := c.issued(false)
	third := c.ended(events.Revoked, id)

	tb := mustFollow(t, mustFollow(t, new(table), first), second)
	if !tb.known || !tb.liveUnmatched || !tb.lacksMatches() || tb.complete() {
		t.Errorf("after issued: known %v, live without a match %v, complete %v", tb.known, tb.liveUnmatched, tb.complete())
	}
	if tb.state.Codes[0].Sealed != nil {
		t.Error("a sealed box was kept")
	}
	if again := mustFollow(t, tb, first); again != tb {
		t.Error("an older event changed the table")
	}
	if again := mustFollow(t, tb, second); again != tb {
		t.Error("the newest event, once more, changed the table")
	}
	ended := mustFollow(t, tb, third)
	if _, ok := ended.tombs[id]; !ok || ended.liveUnmatched || !ended.lacksMatches() {
		t.Errorf("after revoked: tombs %v, live without a match %v", ended.tombs, ended.liveUnmatched)
	}
	if len(tb.tombs) != 0 {
		t.Error("the table before was changed")
	}
}

func TestFollowOffTheChain(t *testing.T) {
	c := newChain(t)
	first := c.configured()
	id, second := c.issued(false)
	other := c.branch()
	third := c.ended(events.Revoked, id)
	tb := mustFollow(t, new(table), first)

	gap, err := tb.follow(third)
	if !errors.Is(err, events.ErrChain) {
		t.Errorf("a gap gave %v", err)
	}
	if _, ok := gap.tombs[id]; !ok || gap.state.Revision != 1 {
		t.Error("a revoke beyond a gap must reject, and change nothing else")
	}
	if same, err := tb.follow(other.used(events.Entered, id)); !errors.Is(err, events.ErrChain) || same != tb {
		t.Errorf("an entry beyond a gap gave %v", err)
	}

	tb = mustFollow(t, mustFollow(t, tb, second), third)
	if _, err := tb.follow(other.used(events.Exited, id)); !errors.Is(err, events.ErrChain) {
		t.Errorf("another chain gave %v", err)
	}
	fork := newChain(t)
	fork.configured()
	if _, err := tb.follow(fork.ended(events.Revoked, "01ARZ3NDEKTSV4RRFFQ69G5FAV")); !errors.Is(err, events.ErrChain) {
		t.Errorf("a revoke at a revision that had passed gave %v", err)
	}
}

func TestAdopt(t *testing.T) {
	c := newChain(t)
	c.configured()
	id, _ := c.issued(false)
	list := map[string]matched{id: matchOf("4711")}
	at2 := c.branch()
	entered := c.used(events.Entered, id)

	tb := mustAdopt(t, new(table), events.Link{}, at2.answer(), list)
	if !tb.complete() {
		t.Error("not complete after a catch-up")
	}
	ahead := mustFollow(t, tb, entered)
	if ahead.complete() {
		t.Error("complete although nobody vouched for the newest event")
	}

	t.Run("live is ahead", func(t *testing.T) {
		got := mustAdopt(t, ahead, tb.state.Link, at2.answer(), list)
		if got.state.Revision != 3 || got.complete() || len(got.index) != 1 {
			t.Errorf("revision %d, complete %v", got.state.Revision, got.complete())
		}
	})
	t.Run("nothing new", func(t *testing.T) {
		a := c.answer()
		a.State = nil
		if got := mustAdopt(t, ahead, ahead.state.Link, a, nil); !got.complete() {
			t.Error("not complete")
		}
	})
	t.Run("no view for one who has another", func(t *testing.T) {
		a := c.answer()
		a.State = nil
		if _, err := tb.adopt(tb.state.Link, a, nil); !errors.Is(err, errNoState) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a view of another revision", func(t *testing.T) {
		a := c.answer()
		a.Revision++
		if got, err := tb.adopt(tb.state.Link, a, nil); !errors.Is(err, errNoState) || got != tb {
			t.Errorf("got %v", err)
		}
	})
	t.Run("diverged", func(t *testing.T) {
		revoked := mustFollow(t, ahead, c.branch().ended(events.Revoked, id))
		a := at2.answer()
		a.Diverged = true
		got := mustAdopt(t, revoked, revoked.state.Link, a, list)
		if got.state.Revision != 2 || !got.complete() {
			t.Errorf("revision %d, complete %v", got.state.Revision, got.complete())
		}
		if j := got.judge(matchOf("4711"), "", glance{now: noon, connected: true}); j.reason != projections.IsRevoked {
			t.Errorf("the code that was seen revoked: %+v", j)
		}
	})
	t.Run("the same revision of another chain", func(t *testing.T) {
		other := at2.branch()
		other.used(events.Exited, id)
		got := mustAdopt(t, ahead, tb.state.Link, other.answer(), list)
		if got.state.Hash != other.state.Hash {
			t.Error("the ledger's word did not count")
		}
	})
}

// An ended code has no match yet: its digits are not unknown. Once the ledger
// has sent all that it has, they are.
func TestCompleteMeansThatThereIsNothingToFetch(t *testing.T) {
	c := newChain(t)
	c.configured()
	tb := mustAdopt(t, new(table), events.Link{}, c.answer(), nil)
	id, issued := c.issued(false)
	tb = mustFollow(t, mustFollow(t, tb, issued), c.ended(events.Revoked, id))
	a := c.answer()
	a.State = nil
	had := mustAdopt(t, tb, tb.state.Link, a, nil)
	if had.complete() || !had.lacksMatches() {
		t.Error("complete without the match of a code that was just revoked")
	}
	if all := mustAdopt(t, had, had.state.Link, c.answer(), nil); !all.complete() || all.lacksMatches() {
		t.Error("not complete, and the ledger has sent all it has")
	}
}

func TestTombstonesLastAsLongAsACodeMayLive(t *testing.T) {
	c := newChain(t)
	c.configured()
	tb := &table{tombs: map[string]time.Time{"young": noon, "old": noon.Add(-commands.MaxValidity - time.Second)}}
	got := mustAdopt(t, tb, events.Link{}, c.answer(), nil)
	if _, ok := got.tombs["young"]; !ok || len(got.tombs) != 1 {
		t.Errorf("tombs %v", got.tombs)
	}
}

func TestJudge(t *testing.T) {
	c := newChain(t)
	c.configured()
	id, _ := c.issued(false)
	list := map[string]matched{id: matchOf("4711")}
	active := mustAdopt(t, new(table), events.Link{}, c.answer(), list)
	in := c.branch()
	in.used(events.Entered, id)
	inside := mustAdopt(t, new(table), events.Link{}, in.answer(), list)
	out := in.branch()
	out.used(events.Exited, id)
	spent := mustAdopt(t, new(table), events.Link{}, out.answer(), list)
	over := c.branch()
	over.ended(events.Revoked, id)
	revoked := mustAdopt(t, new(table), events.Link{}, over.answer(), list)
	buried := mustAdopt(t, revoked, events.Link{}, diverged(c.answer()), list)
	short := mustAdopt(t, new(table), events.Link{}, c.answer(), nil)
	unset := mustAdopt(t, new(table), events.Link{}, newChain(t).answer(), nil)
	future := c.branch()
	future.add("teleported", struct{}{})
	stopped := mustAdopt(t, new(table), events.Link{}, future.answer(), list)

	now := glance{now: noon, connected: true, current: true}
	lagging := glance{now: noon, connected: true}
	cut := glance{now: noon}
	late := func(g glance, d time.Duration) glance { g.now = noon.Add(d); return g }
	const ask = projections.Reason("")
	for _, tt := range []struct {
		name   string
		t      *table
		digits string
		way    projections.Direction
		g      glance
		want   projections.Reason
	}{
		{"active", active, "4711", "", now, ask},
		{"active, entry", active, "4711", projections.Entry, now, ask},
		{"active, exit", active, "4711", projections.Exit, now, projections.WrongDirection},
		{"active, exit, lagging", active, "4711", projections.Exit, lagging, ask},
		{"active, exit, cut", active, "4711", projections.Exit, cut, projections.WrongDirection},
		{"active, cut", active, "4711", "", cut, ask},
		{"inside", inside, "4711", "", now, ask},
		{"inside, entry", inside, "4711", projections.Entry, now, projections.WrongDirection},
		{"spent", spent, "4711", "", now, projections.IsSpent},
		{"spent, lagging: a gate may have failed", spent, "4711", "", lagging, ask},
		{"revoked", revoked, "4711", "", now, projections.IsRevoked},
		{"revoked, lagging", revoked, "4711", "", lagging, projections.IsRevoked},
		{"revoked, cut", revoked, "4711", "", cut, projections.IsRevoked},
		{"revoked a day ago", revoked, "4711", "", late(now, 24*time.Hour), projections.Unknown},
		{"buried", buried, "4711", "", now, projections.IsRevoked},
		{"buried, lagging", buried, "4711", projections.Exit, lagging, projections.IsRevoked},
		{"buried, expired", buried, "4711", "", late(now, time.Hour), projections.IsExpired},
		{"expired", active, "4711", "", late(now, time.Hour), projections.IsExpired},
		{"a nanosecond before", active, "4711", "", late(now, time.Hour-1), ask},
		{"expired, lagging", active, "4711", "", late(lagging, time.Hour), projections.IsExpired},
		{"expired a day ago", active, "4711", "", late(now, 25*time.Hour), projections.Unknown},
		{"unknown", active, "5823", "", now, projections.Unknown},
		{"unknown, lagging", active, "5823", "", lagging, ask},
		{"unknown, cut", active, "5823", "", cut, ask},
		{"unknown, a match is missing", short, "5823", "", now, ask},
		{"not configured", unset, "4711", "", now, projections.NotConfigured},
		{"not configured, lagging", unset, "4711", "", lagging, ask},
		{"not configured, cut", unset, "4711", "", cut, projections.NotConfigured},
		{"nothing known", new(table), "4711", "", now, ask},
		{"not understood", stopped, "4711", "", now, projections.CutOff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if j := tt.t.judge(matchOf(tt.digits), tt.way, tt.g); j.reason != tt.want {
				t.Errorf("got %q, want %q", j.reason, tt.want)
			}
		})
	}
}

func diverged(a commands.SyncAnswer) commands.SyncAnswer { a.Diverged = true; return a }

// The same digits were given out again: the code that lives counts, then the
// one seen revoked, then the one that ended last.
func TestFindTakesTheLiveOne(t *testing.T) {
	c := newChain(t)
	c.configured()
	first, _ := c.issued(false)
	c.ended(events.Revoked, first)
	c.now = c.now.Add(time.Minute)
	second, _ := c.issued(false)
	c.ended(events.Revoked, second)
	third, _ := c.issued(false)
	fourth, _ := c.issued(false)
	list := map[string]matched{}
	for _, id := range []string{first, second, third, fourth} {
		list[id] = matchOf("4711")
	}
	tombs := &table{tombs: map[string]time.Time{third: c.now}}
	for want, ids := range map[string][]string{
		fourth: {first, second, third, fourth},
		third:  {first, second, third},
		second: {first, second},
	} {
		some := map[string]matched{}
		for _, id := range ids {
			some[id] = list[id]
		}
		tb := mustAdopt(t, tombs, events.Link{}, c.answer(), some)
		if j := tb.judge(matchOf("4711"), "", glance{now: c.now, connected: true}); j.codeID != want {
			t.Errorf("among %d codes got another than the one expected: %+v", len(ids), j)
		}
	}
}

func TestExpiredLeaveOnceIsAskedWhileLagging(t *testing.T) {
	c := newChain(t)
	c.configured()
	id, _ := c.issued(true)
	tb := mustAdopt(t, new(table), events.Link{}, c.answer(), map[string]matched{id: matchOf("4711")})
	g := glance{now: noon.Add(2 * time.Hour), connected: true}
	if j := tb.judge(matchOf("4711"), projections.Exit, g); j.reason != "" {
		t.Errorf("a guest who may be inside and may leave was refused: %+v", j)
	}
	g.current = true
	if j := tb.judge(matchOf("4711"), projections.Exit, g); j.reason != projections.IsExpired {
		t.Errorf("got %+v", j)
	}
}

func TestForbids(t *testing.T) {
	c := newChain(t)
	c.configured()
	plain, _ := c.issued(false)
	lenient, _ := c.issued(true)
	c.used(events.Entered, plain)
	c.used(events.Entered, lenient)
	c.ended(events.Revoked, plain)
	c.ended(events.Revoked, lenient) // revision 7
	tb := mustAdopt(t, new(table), events.Link{}, c.answer(), nil)
	for _, tt := range []struct {
		name string
		a    commands.UseAnswer
		want bool
	}{
		{"never seen revoked", commands.UseAnswer{CodeID: "another", Direction: projections.Entry, Revision: 8}, false},
		{"exit", commands.UseAnswer{CodeID: plain, Direction: projections.Exit, Revision: 8}, true},
		{"entry", commands.UseAnswer{CodeID: lenient, Direction: projections.Entry, Revision: 8}, true},
		{"leaves once, after", commands.UseAnswer{CodeID: lenient, Direction: projections.Exit, Revision: 8}, false},
		{"left before", commands.UseAnswer{CodeID: lenient, Direction: projections.Exit, Revision: 6}, true},
	} {
		if got := tb.forbids(tt.a); got != tt.want {
			t.Errorf("%s: forbids is %v", tt.name, got)
		}
	}
}

func TestMatcherIsSealMatch(t *testing.T) {
	m, err := newMatcher(testKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, digits := range []string{"4711", "0000", "9999", "4711"} {
		if got, want := m.match(digits).String(), seal.Match(testKey(), digits); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, bad := range []string{"", "x", seal.Match(testKey(), "4711") + "=", seal.Match(testKey(), "4711")[:42] + "\n"} {
		if _, ok := parseMatch(bad); ok {
			t.Errorf("%q was taken for a match", bad)
		}
	}
}

// A wrong wall clock lengthens nothing, and expires nothing while connected.
func TestClock(t *testing.T) {
	wall := noon.Add(48 * time.Hour)
	c := &clock{wall: func() time.Time { return wall }, atLeast: noon}
	if got := c.now(true); !got.Equal(noon) {
		t.Errorf("connected and never set: %v", got)
	}
	if got := c.now(false); !got.Equal(wall) {
		t.Errorf("cut off and never set: %v", got)
	}
	wall = noon.Add(-time.Hour)
	if got := c.now(false); !got.Equal(noon) {
		t.Errorf("cut off with a wall clock that is behind: %v", got)
	}
	c.hear(noon.Add(time.Minute))
	first := c.now(false)
	if behind := first.Sub(noon.Add(time.Minute)); behind < 0 || behind > time.Minute {
		t.Errorf("set, and off by %v", behind)
	}
	if c.now(true).Before(first) {
		t.Error("the clock went back")
	}
}
