package verify

import (
	"gatebook/events"
	"gatebook/projections"
)

// chain is what is known of one intercom's events so far.
type chain struct {
	state projections.State
	link  events.Link // of the newest event, also where the chain is broken
	at    uint64      // its sequence
	// broken: an earlier event is missing or not what it was, so the state says
	// nothing any more. Events are still tied to each other.
	broken bool
	doubt  doubt
}

// doubt is an event that names another hash than its previous event has: one of
// the two was changed. The next event tells which.
type doubt struct{ before, at uint64 }

func (a *audit) chainOf(intercom string) *chain {
	c := a.chains[intercom]
	if c == nil {
		c = &chain{}
		a.chains[intercom] = c
	}
	return c
}

// follow judges whether e is the event that must come next in its chain.
func (a *audit) follow(e events.Stored, m message) {
	c := a.chainOf(e.Intercom)
	c.settle(e.Intercom, a, e.Prev != prevOf(c.link))
	whole := a.extends(c, e, m)
	if whole && m.fenced && m.fence != c.at {
		a.moved(c, e, m)
	}
	if !whole {
		c.broken = true
	}
	if !c.broken {
		a.fold(c, e)
	}
	c.link, c.at = e.Link(), e.Sequence
}

func (a *audit) extends(c *chain, e events.Stored, m message) bool {
	switch {
	case e.Revision > c.link.Revision+1:
		a.skipped(c, e, m)
	case e.Revision <= c.link.Revision:
		a.bad(e.Sequence, 6, "revision %d of %s comes after revision %d: events were put in another order", e.Revision, e.Intercom, c.link.Revision)
	case e.Prev != prevOf(c.link) && c.link.Revision == 0:
		a.bad(e.Sequence, 6, "the first event of %s was changed", e.Intercom)
	case e.Prev != prevOf(c.link):
		c.doubt = doubt{before: c.at, at: e.Sequence}
	case e.At.Before(c.link.At):
		a.bad(e.Sequence, 11, "the event at sequence %d is older than the one before it of %s", e.Sequence, e.Intercom)
	default:
		return true
	}
	return false
}

// skipped names the place where the missing event was, as the fence of the one
// after it tells it.
func (a *audit) skipped(c *chain, e events.Stored, m message) {
	sequence := e.Sequence
	if m.fenced && m.fence > c.at && m.fence < e.Sequence {
		sequence = m.fence
	}
	a.bad(sequence, 6, "revision %d of %s follows revision %d: events between them are missing", e.Revision, e.Intercom, c.link.Revision)
}

// moved: the event was stored after the event at its fence, and now follows one
// that lies elsewhere. The first place that is not as it was is at the lower one.
func (a *audit) moved(c *chain, e events.Stored, m message) {
	sequence := min(m.fence, c.at)
	if sequence == 0 {
		sequence = min(max(m.fence, c.at), e.Sequence)
	}
	a.bad(sequence, 6, "the event at sequence %d was stored after the event of %s at sequence %d, which is now at %d: events were moved or taken out", e.Sequence, e.Intercom, m.fence, c.at)
}

// settle names the changed event of two: the later one if what came after it,
// or what was kept outside, disowns it too.
func (c *chain) settle(intercom string, a *audit, disowned bool) {
	if c.doubt.at == 0 {
		return
	}
	changed := c.doubt.before
	if disowned {
		changed = c.doubt.at
	}
	c.doubt = doubt{}
	a.bad(changed, 6, "the event of %s at sequence %d is not the one that was stored there: it was changed", intercom, changed)
}

func prevOf(l events.Link) string {
	if l.Revision == 0 {
		return events.Genesis
	}
	return l.Hash
}
