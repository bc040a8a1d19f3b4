package intercom

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

// errNoState is a catch-up that left out the view although the intercom does
// not have it.
var errNoState = errors.New("the ledger's answer has no view")

// table is what the intercom knows, at one instant. It never changes once it is
// made, so a guest's attempt reads it without a lock.
type table struct {
	// known is false until anything was heard of the ledger, by this process or
	// by one before it.
	known bool
	state projections.State
	// matches are the HMACs of the digits of the listed codes, by code id.
	matches map[string]matched
	// tombs are the codes that were ever seen revoked, and when they were.
	tombs map[string]time.Time
	// synced is how far the chain went at the last catch-up. Live events go
	// further; only up to here has the ledger vouched.
	synced events.Link
	// whole is where a catch-up last brought everything that the ledger has.
	whole events.Link

	index map[matched][]candidate
	// unmatched: a listed code has no match, so digits that match nothing may be
	// its; live if no event has ended it.
	unmatched, liveUnmatched bool
}

// candidate is one code that some digits may stand for.
type candidate struct {
	code *projections.Code
	// ended is when an event ended the code, zero while none has.
	ended time.Time
	// buried: seen revoked, although the state does not say so.
	buried bool
}

func (c candidate) live(now time.Time) bool { return c.ended.IsZero() && now.Before(c.code.ExpiresAt) }

// end is when the code ended or will.
func (c candidate) end() time.Time {
	if c.ended.IsZero() {
		return c.code.ExpiresAt
	}
	return c.ended
}

// with makes a table of a state and what belongs to it, keeping the rest of t.
// Every revoked code of the state becomes a tombstone.
func (t *table) with(s projections.State, matches map[string]matched, tombs map[string]time.Time) *table {
	next := &table{
		known: true, state: unsealed(s), synced: t.synced, whole: t.whole,
		matches: make(map[string]matched, len(s.Codes)),
		tombs:   maps.Clone(tombs),
		index:   make(map[matched][]candidate, len(s.Codes)),
	}
	if next.tombs == nil {
		next.tombs = make(map[string]time.Time)
	}
	for n := range next.state.Codes {
		next.add(&next.state.Codes[n], matches)
	}
	return next
}

func (t *table) add(c *projections.Code, matches map[string]matched) {
	if _, ok := t.tombs[c.ID]; !ok && !c.RevokedAt.IsZero() {
		t.tombs[c.ID] = c.RevokedAt
	}
	// At the beginning of time no code has run out: what is over is so by an event.
	ended := c.EndedAt(time.Time{})
	m, ok := matches[c.ID]
	if !ok {
		t.unmatched, t.liveUnmatched = true, t.liveUnmatched || ended.IsZero()
		return
	}
	_, tomb := t.tombs[c.ID]
	t.matches[c.ID] = m
	t.index[m] = append(t.index[m], candidate{code: c, ended: ended, buried: tomb && c.RevokedAt.IsZero()})
}

// unsealed drops the guests' boxes, which come with live events: an intercom has
// no use for them, and what it does not keep needs no forgetting (law 9).
func unsealed(s projections.State) projections.State {
	if !slices.ContainsFunc(s.Codes, func(c projections.Code) bool { return c.Sealed != nil }) {
		return s
	}
	s.Codes = slices.Clone(s.Codes)
	for i := range s.Codes {
		s.Codes[i].Sealed = nil
	}
	return s
}

// complete reports whether digits that match nothing are certainly unknown: the
// ledger vouched for all of the table, every code that may live has its match,
// and an ended one lacks it only because the ledger has none either.
func (t *table) complete() bool {
	return t.known && same(t.synced, t.state.Link) && !t.liveUnmatched && !t.lacksMatches()
}

// lacksMatches reports whether there may be matches to fetch.
func (t *table) lacksMatches() bool { return t.unmatched && !same(t.whole, t.state.Link) }

func same(a, b events.Link) bool { return a.Revision == b.Revision && a.Hash == b.Hash }

// follow is the table after a live event. With an error the event does not fit
// and the ledger must be asked; a code that it revokes is rejected even so.
func (t *table) follow(e events.Stored) (*table, error) {
	tombs, news := t.buriedBy(e)
	s, err := t.state, error(nil)
	switch {
	case e.Revision > s.Revision, e.Revision == s.Revision && e.Hash != s.Hash:
		s, err = projections.Apply(s, e)
	case news:
		err = fmt.Errorf("%w: revision %d revokes a code after revision %d had passed", events.ErrChain, e.Revision, s.Revision)
	default:
		return t, nil // had it already
	}
	if err != nil && !news {
		return t, err
	}
	return t.with(s, t.matches, tombs), err
}

// buriedBy are the tombstones with the code that e revokes, and whether it is
// a new one. An event off the chain counts as well: it can only reject.
func (t *table) buriedBy(e events.Stored) (map[string]time.Time, bool) {
	var d events.EndedData
	if e.Type != events.Revoked || e.Unpack(&d) != nil {
		return t.tombs, false
	}
	if _, had := t.tombs[d.CodeID]; had {
		return t.tombs, false
	}
	tombs := maps.Clone(t.tombs)
	if tombs == nil {
		tombs = make(map[string]time.Time)
	}
	tombs[d.CodeID] = e.At
	return tombs, true
}

// adopt is the table after a catch-up that was asked for when the chain ended
// at asked. Live events go on coming meanwhile, so t may be further by now.
func (t *table) adopt(asked events.Link, a commands.SyncAnswer, matches map[string]matched) (*table, error) {
	to := events.Link{Revision: a.Revision, Hash: a.Hash}
	// Live may have gone on along the chain that the ledger just vouched for.
	// Going back would forget what is known to have ended.
	back := a.State != nil && !a.Diverged && a.State.Revision < t.state.Revision
	s := t.state
	switch {
	case a.State != nil && !same(a.State.Link, to):
		return t, fmt.Errorf("%w of revision %d", errNoState, a.Revision)
	case a.State == nil && (a.Diverged || !same(asked, to)):
		return t, errNoState
	case a.State == nil, back:
		matches = t.withMatches(matches)
	default:
		s = *a.State
	}
	next := t.with(s, matches, t.lasting(a.Time))
	if next.synced = to; a.State != nil {
		next.whole = to
	}
	return next, nil
}

// withMatches is the match list with what an answer adds to it.
func (t *table) withMatches(more map[string]matched) map[string]matched {
	all := make(map[string]matched, len(t.matches)+len(more))
	maps.Copy(all, t.matches)
	maps.Copy(all, more)
	return all
}

// lasting leaves out the tombstones of codes that have expired by now, whatever
// backup a ledger may be restored from: no code lives longer than MaxValidity,
// and a revoked one was alive when it was revoked.
func (t *table) lasting(now time.Time) map[string]time.Time {
	lasting := make(map[string]time.Time, len(t.tombs))
	for id, at := range t.tombs {
		if now.Sub(at) <= commands.MaxValidity {
			lasting[id] = at
		}
	}
	return lasting
}
