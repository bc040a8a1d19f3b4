package testkit

import (
	"testing"
	"time"
)

// pollEvery is how long Eventually rests between two looks: short beside
// anything a test waits for, long beside what a look costs.
const pollEvery = 5 * time.Millisecond

// Eventually looks at cond until it returns nil, and fails the test with the
// last error if that takes longer than within. It looks at least once, and
// once more when the time is over, so a slow machine gets its last chance.
//
// It must be called from the goroutine that runs the test.
func Eventually(t testing.TB, within time.Duration, cond func() error) {
	t.Helper()
	over := time.NewTimer(within)
	defer over.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if cond() == nil {
			return
		}
		select {
		case <-tick.C:
		case <-over.C:
			if err := cond(); err != nil {
				t.Fatalf("still not so after %v: %v", within, err)
			}
			return
		}
	}
}
