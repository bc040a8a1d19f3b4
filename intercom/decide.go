package intercom

import (
	"time"

	"gatebook/commands"
	"gatebook/projections"
)

// glance is how things stand when a guest asks.
type glance struct {
	now time.Time
	// connected: the line to the ledger's server is up.
	connected bool
	// current: over this line the ledger has brought the table up to date, and
	// has told of nothing since that is not in it.
	current bool
}

// judgement is what memory makes of digits. No reason means that only the
// ledger can say; memory never opens.
type judgement struct {
	reason    projections.Reason
	direction projections.Direction
	codeID    string
}

// judge refuses what the table alone can refuse. It takes no lock and allocates
// nothing.
func (t *table) judge(m matched, d projections.Direction, g glance) judgement {
	j := judgement{direction: d}
	switch {
	case !t.known:
		return j
	case t.state.Stopped != "":
		j.reason = projections.CutOff
		return j
	case t.state.Settings == nil:
		if g.current || !g.connected {
			j.reason = projections.NotConfigured
		}
		return j
	}
	c, ok := t.find(m, g.now)
	if !ok {
		if g.current && t.complete() {
			j.reason = projections.Unknown
		}
		return j
	}
	return c.judge(d, g)
}

func (c candidate) judge(d projections.Direction, g glance) judgement {
	v := c.code.Judge(d, g.now)
	if c.buried && c.live(g.now) {
		v.Reason = projections.IsRevoked
	}
	j := judgement{direction: v.Direction, codeID: c.code.ID}
	// A table that lags behind may not know of the entry that makes an exit
	// right. While cut off nothing can open, so the reason may as well be told.
	if g.current || !g.connected || c.final(v.Reason) {
		j.reason = v.Reason
	}
	return j
}

// final: no later event can undo the reason. What is used up can come back by a
// gate's failure, and a guest who is inside may leave an expired code once.
func (c candidate) final(r projections.Reason) bool {
	return r == projections.IsRevoked || r == projections.IsExpired && !c.code.LeaveOnce
}

// find is the code that the digits stand for: the one that lives, else the one
// that ended last, less than Kept ago. One that lives for the ledger but was
// seen revoked comes between the two.
func (t *table) find(m matched, now time.Time) (best candidate, ok bool) {
	for _, c := range t.index[m] {
		if c.live(now) && !c.buried {
			return c, true
		}
		// The end of one that is buried lies ahead, so it comes before the others.
		if now.Sub(c.end()) < projections.Kept && (!ok || c.end().After(best.end())) {
			best, ok = c, true
		}
	}
	return best, ok
}

// forbids reports whether the code of an opening answer was seen revoked, so
// that the gate must not be told. The one exception is a guest whose code was
// issued with leave-once, and whose exit was recorded after the revoke.
func (t *table) forbids(a commands.UseAnswer) bool {
	if _, seen := t.tombs[a.CodeID]; !seen {
		return false
	}
	c, ok := t.state.Code(a.CodeID)
	leaves := ok && c.LeaveOnce && a.Direction == projections.Exit &&
		!c.RevokedAt.IsZero() && c.RevokedRevision < a.Revision
	return !leaves
}
