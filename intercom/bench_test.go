package intercom

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"gatebook/events"
	"gatebook/projections"
)

// rejecting makes an intercom without a line whose table has 10 live codes and
// 10 that were revoked; digits 0010 to 0019 are theirs.
func rejecting(tb testing.TB) *Intercom {
	c := newChain(tb)
	c.configured()
	list := map[string]matched{}
	for n := range 20 {
		id, _ := c.issued(false)
		list[id] = matchOf(fmt.Sprintf("%04d", n))
		if n >= 10 {
			c.ended(events.Revoked, id)
		}
	}
	matches, err := newMatcher(testKey())
	if err != nil {
		tb.Fatal(err)
	}
	i := &Intercom{log: slog.New(slog.DiscardHandler), matcher: matches, caughtUp: newDoor(), line: new(line)}
	i.memory = &memory{clock: &clock{wall: time.Now}}
	i.memory.table.Store(mustAdopt(tb, new(table), events.Link{}, c.answer(), list))
	i.memory.clock.hear(noon)
	i.caughtUp.open()
	return i
}

// BenchmarkRefuse is one refusal from memory: match, look-up and judgement.
func BenchmarkRefuse(b *testing.B) {
	i := rejecting(b)
	t, g := i.memory.table.Load(), glance{now: noon, connected: true, current: true}
	b.ReportAllocs()
	for b.Loop() {
		if j := t.judge(i.matcher.match("0013"), "", g); j.reason != projections.IsRevoked {
			b.Fatal(j)
		}
	}
}

// BenchmarkTry is the same as a guest has it: with the clocks, and the line read.
func BenchmarkTry(b *testing.B) {
	i := rejecting(b)
	b.ReportAllocs()
	for b.Loop() {
		if d := i.Try(context.Background(), "0013"); d.Reason != projections.IsRevoked {
			b.Fatal(d)
		}
	}
}

func BenchmarkFollow(b *testing.B) {
	c := newChain(b)
	t := mustFollow(b, new(table), c.configured())
	for range 50 {
		_, e := c.issued(false)
		t = mustFollow(b, t, e)
	}
	e := c.ended(events.Revoked, t.state.Codes[7].ID)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.follow(e); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRefusingAllocatesNothing(t *testing.T) {
	i := rejecting(t)
	if n := testing.AllocsPerRun(100, func() { i.Try(context.Background(), "0013") }); n != 0 {
		t.Errorf("%v allocations for one refusal", n)
	}
}

func TestCommandIDsSurviveAWrongClock(t *testing.T) {
	for _, wall := range []time.Time{{}, time.Unix(0, 0), noon, time.Date(30000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		i := &Intercom{wall: func() time.Time { return wall }, rand: ulid.DefaultEntropy()}
		if id, err := i.newCommand(); err != nil || !events.ValidULID(id) {
			t.Errorf("at %v: %q, %v", wall, id, err)
		}
	}
}
