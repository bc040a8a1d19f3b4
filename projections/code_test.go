package projections_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// lives are codes in every way that one can be, each valid from start for one
// hour, entered after 10 minutes and ended after 20, and the status that they
// have at 30 minutes and at the instant their time is over.
var lives = []struct {
	name            string
	code            projections.Code
	during, after   projections.Status
	inside          bool          // the guest is inside, as the ledger knows it
	ended           time.Duration // when, as seen at 30 minutes; 0: not yet
	endedAfterwards time.Duration // when, as seen after its time is over
}{
	{"active", projections.Code{}, "active", "expired", false, 0, h},
	{"inside", projections.Code{EnteredAt: start.Add(10 * m)}, "inside", "expired", true, 0, h},
	{"spent", projections.Code{EnteredAt: start.Add(10 * m), ExitedAt: start.Add(20 * m)}, "spent", "spent", false, 20 * m, 20 * m},
	{"revoked", projections.Code{RevokedAt: start.Add(20 * m)}, "revoked", "revoked", false, 20 * m, 20 * m},
	{"revoked inside", projections.Code{EnteredAt: start.Add(10 * m), RevokedAt: start.Add(20 * m)}, "revoked", "revoked", true, 20 * m, 20 * m},
	{"revoked, left once", projections.Code{EnteredAt: start.Add(10 * m), RevokedAt: start.Add(20 * m), ExitedAt: start.Add(25 * m)},
		"revoked", "revoked", false, 20 * m, 20 * m},
	{"never let in", projections.Code{EnteredAt: start.Add(10 * m), EntryAnswered: true, EntryFailed: true}, "inside", "expired", true, 0, h},
	{"revoked, never let in", projections.Code{EnteredAt: start.Add(10 * m), EntryAnswered: true, EntryFailed: true, RevokedAt: start.Add(20 * m)},
		"revoked", "revoked", true, 20 * m, 20 * m},
	{"expired", projections.Code{ExpiredAt: start.Add(h)}, "expired", "expired", false, h, h},
	{"expired inside", projections.Code{EnteredAt: start.Add(10 * m), ExpiredAt: start.Add(h)}, "expired", "expired", true, h, h},
}

func TestStatus(t *testing.T) {
	for _, l := range lives {
		t.Run(l.name, func(t *testing.T) {
			c := l.code
			c.ExpiresAt = start.Add(h)
			for at, want := range map[time.Duration]projections.Status{30 * m: l.during, h - 1: l.during, h: l.after, h + 1: l.after, 1000 * h: l.after} {
				if got := c.Status(start.Add(at)); got != want {
					t.Errorf("after %s: %s, want %s", at, got, want)
				}
				live := want == projections.Active || want == projections.Inside
				if got := c.Live(start.Add(at)); got != live {
					t.Errorf("after %s: live %v, want %v", at, got, live)
				}
			}
			check := func(at, want time.Duration) {
				t.Helper()
				var end time.Time
				if want != 0 {
					end = start.Add(want)
				}
				if got := c.EndedAt(start.Add(at)); !got.Equal(end) {
					t.Errorf("ended as seen after %s: %s, want %s", at, got, end)
				}
			}
			check(30*m, l.ended)
			check(h, l.endedAfterwards)
		})
	}
}

// Judge, cell by cell: how the code is, which way the guest wants, whether the
// owner chose leave-once, and when.
func TestJudge(t *testing.T) {
	const (
		open = projections.Reason("")
		once = projections.Reason("leave once")
	)
	type row struct{ none, entry, exit projections.Reason }
	// per life: at 30 minutes, and (where it says so) after the time is over
	table := map[string]struct{ during, after, duringOnce, afterOnce, late row }{
		"active": {row{open, open, "wrong_direction"}, row{"expired", "expired", "expired"},
			row{open, open, "wrong_direction"}, row{"expired", "expired", "expired"}, row{"expired", "expired", "expired"}},
		"inside": {row{open, "wrong_direction", open}, row{"expired", "expired", "expired"},
			row{open, "wrong_direction", open}, row{once, "expired", once}, row{"expired", "expired", "expired"}},
		"never let in": {row{open, "wrong_direction", open}, row{"expired", "expired", "expired"},
			row{open, "wrong_direction", open}, row{"expired", "expired", "expired"}, row{"expired", "expired", "expired"}},
		"revoked, never let in": {row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"},
			row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"}},
		"spent": {row{"spent", "spent", "spent"}, row{"spent", "spent", "spent"},
			row{"spent", "spent", "spent"}, row{"spent", "spent", "spent"}, row{"spent", "spent", "spent"}},
		"revoked": {row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"},
			row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"}},
		"revoked inside": {row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"},
			row{once, "revoked", once}, row{once, "revoked", once}, row{"revoked", "revoked", "revoked"}},
		"revoked, left once": {row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"},
			row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"}, row{"revoked", "revoked", "revoked"}},
		"expired": {row{"expired", "expired", "expired"}, row{"expired", "expired", "expired"},
			row{"expired", "expired", "expired"}, row{"expired", "expired", "expired"}, row{"expired", "expired", "expired"}},
		"expired inside": {row{"expired", "expired", "expired"}, row{"expired", "expired", "expired"},
			row{once, "expired", once}, row{once, "expired", once}, row{"expired", "expired", "expired"}},
	}
	for _, l := range lives {
		want, ok := table[l.name]
		if !ok {
			t.Fatalf("no row for %s", l.name)
		}
		// A day after its end, to the nanosecond, nobody leaves any more.
		end := start.Add(l.endedAfterwards)
		for _, at := range []struct {
			name string
			now  time.Time
			once bool
			row  row
		}{
			{"during", start.Add(30 * m), false, want.during},
			{"just before its end", start.Add(h - 1), false, want.during},
			{"at its end", start.Add(h), false, want.after},
			{"long after", end.Add(24 * h), false, want.late},
			{"during, leave once", start.Add(30 * m), true, want.duringOnce},
			{"at its end, leave once", start.Add(h), true, want.afterOnce},
			{"almost a day after, leave once", end.Add(24*h - 1), true, want.afterOnce},
			{"a day after, leave once", end.Add(24 * h), true, want.late},
		} {
			for d, reason := range map[projections.Direction]projections.Reason{"": at.row.none, "entry": at.row.entry, "exit": at.row.exit} {
				t.Run(fmt.Sprintf("%s/%s/%q", l.name, at.name, d), func(t *testing.T) {
					c := l.code
					c.ExpiresAt, c.EntryDevice, c.ExitDevice, c.LeaveOnce = start.Add(h), "in", "out", at.once
					direction, device := d, "in"
					if d == "" {
						direction = "entry"
						if l.inside {
							direction = "exit"
						}
					}
					if direction == "exit" {
						device = "out"
					}
					var flags []string
					if reason == once {
						reason, flags = open, []string{events.FlagLeaveOnce}
					}
					v := c.Judge(d, at.now)
					if v.Reason != reason || v.Direction != direction || v.Device != device || !slices.Equal(v.Flags, flags) {
						t.Errorf("got %+v, want %s %s %v %s", v, direction, device, flags, reason)
					}
				})
			}
		}
	}
}

func TestOnlyTheLastUseIsTakenBack(t *testing.T) {
	both := projections.Code{EntryUse: "e", ExitUse: "x"}
	if _, ok := both.Before("e"); ok {
		t.Error("an entry was taken back from under an exit")
	}
	if _, ok := both.Before(""); ok {
		t.Error("no use was taken back")
	}
	if _, ok := (projections.Code{}).Before(""); ok {
		t.Error("no use of a code without one was taken back")
	}
	both.ExitAnswered = true
	if c, ok := both.Before("x"); !ok || c.ExitAnswered || c.EntryAnswered {
		t.Errorf("exit that was answered: %+v %v", c, ok)
	}
	both.ExitAnswered, both.EntryAnswered = false, true
	if c, ok := both.Before("x"); !ok || !c.EntryAnswered || c.ExitUse != "" || c.EntryUse != "e" {
		t.Errorf("exit: %+v %v", c, ok)
	}
	if c, ok := (projections.Code{EntryUse: "e", EntryAnswered: true, EntryFailed: true}).Before("e"); !ok || c.EntryUse != "" || c.EntryAnswered || c.EntryFailed {
		t.Errorf("entry: %+v %v", c, ok)
	}
}

func TestUnanswered(t *testing.T) {
	for _, c := range []struct {
		code projections.Code
		want map[string]bool
	}{
		{projections.Code{}, map[string]bool{"": false, "e": false}},
		{projections.Code{EntryUse: "e"}, map[string]bool{"": false, "e": true, "x": false}},
		{projections.Code{EntryUse: "e", EntryAnswered: true}, map[string]bool{"e": false}},
		{projections.Code{EntryUse: "e", ExitUse: "x"}, map[string]bool{"": false, "e": true, "x": true}},
		{projections.Code{EntryUse: "e", ExitUse: "x", ExitAnswered: true}, map[string]bool{"e": true, "x": false}},
		{projections.Code{EntryUse: "e", ExitUse: "x", EntryAnswered: true}, map[string]bool{"e": false, "x": true}},
	} {
		for use, want := range c.want {
			if got := c.code.Unanswered(use); got != want {
				t.Errorf("%+v: %q unanswered: %v", c.code, use, got)
			}
		}
	}
}

// A word that is no direction opens nothing, and says no more than the code's end.
func TestJudgeNoDirection(t *testing.T) {
	for _, l := range lives {
		for _, once := range []bool{false, true} {
			c := l.code
			c.ExpiresAt, c.LeaveOnce = start.Add(h), once
			for _, d := range []projections.Direction{"EXIT", "exit ", "in", " "} {
				for _, at := range []time.Duration{30 * m, h} {
					if v := c.Judge(d, start.Add(at)); v.Reason == "" || len(v.Flags) > 0 {
						t.Errorf("%s, %q after %s: %+v", l.name, d, at, v)
					}
				}
			}
		}
	}
}

func TestLiveAndCount(t *testing.T) {
	state := given(t, settings, issued(0, 3, h, false), issued(0, 1, m, false), issued(0, 2, 2*h, false), revoked(s, 3))
	for at, want := range map[time.Duration][]string{
		s: {code(1), code(2)}, m - 1: {code(1), code(2)}, m: {code(2)}, 2 * h: nil,
	} {
		var got []string
		for _, c := range state.Live(start.Add(at)) {
			got = append(got, c.ID)
		}
		if !slices.Equal(got, want) || state.Count(start.Add(at)) != len(want) {
			t.Errorf("after %s: %v (%d), want %v", at, got, state.Count(start.Add(at)), want)
		}
	}
	if _, ok := state.Code("nobody"); ok {
		t.Error("found a code that never was")
	}
}
