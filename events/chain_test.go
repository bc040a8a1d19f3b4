package events_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gatebook/events"
)

func stored(t testing.TB, l events.Link, at time.Time) events.Stored {
	t.Helper()
	raw, err := sample(t).Chained("north", l, at).Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := events.Decode(raw, l.Revision+1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestChainedTime(t *testing.T) {
	last := events.Link{Revision: 1, Hash: strings.Repeat("a", 64), At: noon}
	for _, c := range []struct {
		name      string
		now, want time.Time
	}{
		{"later", noon.Add(1), noon.Add(1)},
		{"same", noon, noon},
		{"earlier stands still", noon.Add(-time.Hour), noon},
		{"other zone", noon.Add(time.Hour).In(time.FixedZone("", 7200)), noon.Add(time.Hour)},
		{"monotonic clock is left out", time.Now().Add(1e6 * time.Hour), time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := sample(t).Chained("north", last, c.now)
			if c.want.IsZero() {
				c.want = c.now.Round(0).UTC()
			}
			if e.At != c.want { // == on purpose: the same instant, zone and no monotonic reading
				t.Errorf("got %v, want %v", e.At, c.want)
			}
		})
	}
}

func TestExtends(t *testing.T) {
	first := stored(t, events.Link{}, noon)
	second := stored(t, first.Link(), noon.Add(time.Second))
	third := stored(t, second.Link(), noon.Add(2*time.Second))
	other := stored(t, events.Link{}, noon.Add(time.Minute))
	stale := second
	stale.At = noon.Add(-1)
	for _, c := range []struct {
		name string
		link events.Link
		s    events.Stored
		ok   bool
	}{
		{"first", events.Link{}, first, true},
		{"second", first.Link(), second, true},
		{"third", second.Link(), third, true},
		{"same time", first.Link(), stored(t, first.Link(), noon), true},
		{"head lost", events.Link{}, second, false},
		{"one lost", first.Link(), third, false},
		{"doubled", second.Link(), second, false},
		{"reordered", third.Link(), second, false},
		{"another first one", other.Link(), second, false},
		{"second first one", first.Link(), other, false},
		{"back in time", first.Link(), stale, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.s.Extends(c.link)
			if (err == nil) != c.ok || (err != nil && !errors.Is(err, events.ErrChain)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMark(t *testing.T) {
	s := stored(t, events.Link{}, noon)
	if s.Mark() != (events.Mark{Sequence: s.Sequence, ID: s.ID, Hash: s.Hash}) {
		t.Error(s.Mark())
	}
	if s.Link() != (events.Link{Revision: 1, Hash: events.Hash(s.Raw), At: noon}) {
		t.Error(s.Link())
	}
}
