package clock

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// System makes a clock of this machine's clocks.
func System() *Clock {
	b := &bootClock{start: time.Now()}
	c := New(func() time.Time { return time.Now().Round(0).UTC() }, b.read)
	c.quick = b.estimate
	return c
}

// bootClock reads CLOCK_BOOTTIME. That is a system call, several times as dear
// as everything else in Now, so between two calls it is estimated from Go's
// monotonic clock, which differs from it only in that it stops while the
// machine sleeps.
type bootClock struct {
	start time.Time    // carries the monotonic reading that the estimate counts from
	ahead atomic.Int64 // ns by which the boot clock was ahead of the time since start
}

// read cannot fail on any Linux that runs Go; if it ever did, its zero would
// read as a jump, and the ledger would stop deciding rather than go on.
func (b *bootClock) read() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	boot := time.Duration(ts.Nano())
	b.ahead.Store(int64(boot - time.Since(b.start)))
	return boot
}

// estimate is short by the time that the machine slept since read. After a sleep
// of more than the tolerance that looks like a jump, and Now reads again with care.
func (b *bootClock) estimate() time.Duration {
	return time.Duration(b.ahead.Load()) + time.Since(b.start)
}
