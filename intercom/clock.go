package intercom

import (
	"sync/atomic"
	"time"
)

// clock tells the ledger's time. It is set at each catch-up and runs on Go's
// monotonic clock; the intercom's wall clock, which anybody may have set wrong,
// only words refusals while cut off.
//
// It never runs ahead: the ledger's time is taken as that of the answer's
// arrival, and suspend, which Go's clock does not count, makes it late. So what
// is expired here is expired there (law 11), and what is expired only there is
// asked for.
type clock struct {
	wall func() time.Time
	// atLeast is the ledger's time that the process before this one had last.
	atLeast time.Time
	set     atomic.Pointer[reading]
}

// reading is the ledger's time at an instant of ours.
type reading struct{ ledger, ours time.Time }

// hear takes the ledger's time as of now.
func (c *clock) hear(ledger time.Time) { c.set.Store(&reading{ledger: ledger, ours: time.Now()}) }

// now is the ledger's time, never too late.
func (c *clock) now(connected bool) time.Time {
	if r := c.set.Load(); r != nil {
		return r.ledger.Add(time.Since(r.ours))
	}
	if wall := c.wall(); !connected && wall.After(c.atLeast) {
		return wall
	}
	return c.atLeast
}
