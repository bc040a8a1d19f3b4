//go:build !linux

package intercom

import "time"

// bootClock stands in where a clock that counts suspend is not known.
func bootClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
