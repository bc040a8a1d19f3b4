package intercom

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock is a monotonic clock that goes on while the machine is suspended,
// which Go's own does not: an answer must not stay fresh through a long sleep.
func bootClock() func() time.Duration {
	return func() time.Duration {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			panic("read boot clock: " + err.Error()) // there since Linux 2.6.39; never open by a clock that stands still
		}
		return time.Duration(t.Nano())
	}
}
