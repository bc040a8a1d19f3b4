// Package clock is the ledger's time (law 11): UTC, and an error instead of a
// time while the wall clock cannot be trusted.
//
// In come two clocks: the wall clock, which people and NTP set, and the boot
// clock, which nobody sets and which goes on while the machine sleeps. Out goes
// the wall clock's time, in UTC and without Go's monotonic reading, or a
// *JumpError.
//
// How a jump is told: wall minus boot is constant as long as nobody sets the
// wall clock. NTP's gentle corrections speed up or slow down both clocks alike
// and do not show; leap seconds, and the steps of a fraction of a second that
// some time services make, do. The clock keeps that difference as its baseline.
//
// What always holds:
//   - A reading more than 5 s off the baseline is an error, however long ago the
//     last one was, and never moves the baseline.
//   - A reading within 5 s is good, and draws the baseline towards itself, by at
//     most 500 ppm of the boot time that passed (1.8 s an hour). So many small
//     steps in quick succession are a jump as soon as they add up to one, while
//     a drift of up to 500 ppm, the most that NTP ever corrects by, is never one
//     as long as somebody reads the clock every two and a half hours.
//   - After a jump, Now works again by itself once the wall clock is back within
//     5 s of the baseline. A restart takes the wall clock as it then is.
//
// Nothing here is stored, so a crash leaves nothing. That the wall clock lags
// behind the newest stored event is for the one who knows that event to see.
package clock

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tolerance is how far the wall clock may be off its baseline (law 11).
	tolerance = 5 * time.Second
	// followPart: the baseline moves by at most this part of the boot time, 500 ppm.
	followPart = 2000
	// followEvery is how much boot time passes between two such moves, so that
	// most readings take no lock and no careful look.
	followEvery = time.Second
	// doubts is how often a jump is read again before it is believed: a thread
	// that is held up between its two readings sees one that never was.
	doubts = 3
)

// JumpError says that the wall clock was set, and by how much.
type JumpError struct {
	By time.Duration // ahead of where it should be, or behind if negative
}

func (e *JumpError) Error() string {
	way, by := "forward", e.By
	if by < 0 {
		way, by = "back", -by
	}
	return fmt.Sprintf("the wall clock jumped %s by %v: put the clock right, or restart once it is right", way, by.Round(time.Millisecond))
}

// Clock is safe for concurrent use.
type Clock struct {
	wall  func() time.Time
	boot  func() time.Duration
	quick func() time.Duration // boot, or less where the machine slept since boot was called

	// Both are read by anybody and written only under mu.
	mu       sync.Mutex
	baseline atomic.Int64 // wall minus boot, in ns since 1970, as it should be
	moved    atomic.Int64 // boot time in ns at which the baseline last followed
}

// New makes a clock of a wall clock and a boot clock, which must never go back,
// and takes their difference of this moment for the right one.
func New(wall func() time.Time, boot func() time.Duration) *Clock {
	c := &Clock{wall: wall, boot: boot, quick: boot}
	w, b := wall(), boot()
	c.baseline.Store(w.UnixNano() - int64(b))
	c.moved.Store(int64(b))
	return c
}

// Now returns the time, or a *JumpError while the wall clock is not to be trusted.
func (c *Clock) Now() (time.Time, error) {
	w, b := c.wall(), c.quick()
	if off := c.off(w, b); -tolerance <= off && off <= tolerance && b-time.Duration(c.moved.Load()) < followEvery {
		return w.Round(0).UTC(), nil
	}
	return c.careful()
}

// careful reads the boot clock itself, and a jump again before it believes it.
func (c *Clock) careful() (time.Time, error) {
	var off time.Duration
	for range doubts {
		w, b := c.wall(), c.boot()
		off = c.off(w, b)
		if -tolerance <= off && off <= tolerance {
			c.follow(w, b)
			return w.Round(0).UTC(), nil
		}
	}
	return time.Time{}, &JumpError{By: off}
}

// off is how far a reading is from the baseline.
func (c *Clock) off(wall time.Time, boot time.Duration) time.Duration {
	return time.Duration(wall.UnixNano() - int64(boot) - c.baseline.Load())
}

// follow draws the baseline towards a good reading. The credit counts from the
// last move, not from the last reading, so that reading often costs nothing; and
// each move uses it up, needed or not, so that it cannot be saved for a jump.
func (c *Clock) follow(wall time.Time, boot time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := boot - time.Duration(c.moved.Load())
	if passed < followEvery {
		return // another reader was first
	}
	most := passed / followPart
	c.baseline.Add(int64(min(max(c.off(wall, boot), -most), most)))
	c.moved.Store(int64(boot))
}
