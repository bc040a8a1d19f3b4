package robust_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/ops/testkit"
)

const (
	manyCallers = 64
	// perSync is how many commands at least share a sync at 64 callers, and
	// leastRate how many times the rate of SyncAlways they have; on a machine that
	// is busy with other tests, for the short form, half of that.
	perSync   = 8
	leastRate = 2
	// mostP50 is how much longer a single caller may wait than with SyncAlways.
	mostP50 = 1.5
)

// rig is one ledger under measurement.
type rig struct {
	name  string
	l     *testkit.Ledger
	conns []*nats.Conn
	syncs atomic.Int64
}

func newRig(t testing.TB, name string, syncAlways bool) *rig {
	t.Helper()
	r := &rig{name: name}
	r.l = testkit.StartLedger(t, t.TempDir(), func(c *testkit.LedgerConfig) {
		c.SyncAlways = syncAlways
		c.OnSync = func(int, time.Duration) { r.syncs.Add(1) }
	})
	for range 4 { // callers do not queue for one socket
		r.conns = append(r.conns, r.l.Operator(r.l.Node.URL()))
	}
	return r
}

// figures are what one round measured.
type figures struct {
	commands int
	syncs    int64
	took     time.Duration
	each     []time.Duration
}

func (f figures) rate() float64 { return float64(f.commands) / f.took.Seconds() }

func (f figures) perSync() float64 { return float64(f.commands) / float64(max(f.syncs, 1)) }

func (f figures) quantile(q float64) time.Duration {
	slices.Sort(f.each)
	return f.each[int(q*float64(len(f.each)-1))]
}

// round has each caller save the settings of an intercom of its own, one command
// after another: each is one event and one write, so nothing but the commit is
// measured.
func (r *rig) round(t testing.TB, callers int, d time.Duration) figures {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	took := make([][]time.Duration, callers)
	var work sync.WaitGroup
	began, before := time.Now(), r.syncs.Load()
	for i := range callers {
		work.Go(func() {
			nc, id := r.conns[i%len(r.conns)], fmt.Sprintf("gate-%d", i)
			for n := 0; ctx.Err() == nil; n++ {
				asked := time.Now()
				if err := save(nc, id, commands.DefaultLimit+n%2); err != nil {
					t.Errorf("%s: %v", r.name, err)
					return
				}
				took[i] = append(took[i], time.Since(asked))
			}
		})
	}
	work.Wait()
	f := figures{took: time.Since(began), syncs: r.syncs.Load() - before, each: slices.Concat(took...)}
	f.commands = len(f.each)
	if f.commands == 0 {
		t.Fatalf("%s: no command was answered", r.name)
	}
	return f
}

func save(nc *nats.Conn, id string, limit int) error {
	command := ulid.Make().String()
	body, err := json.Marshal(commands.ConfigureRequest{Command: command, Limit: &limit})
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	m, err := nc.Request(events.Request(id, string(commands.Configure), events.Operator), body, 10*time.Second)
	if err != nil {
		return fmt.Errorf("save settings: %w", err)
	}
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return fmt.Errorf("save settings: %s: %s", code, m.Data)
	}
	return nil
}

// TestBarrierIsShared: 64 callers share syncs, and are faster for it than on a
// server that syncs each write. The figures that the design promises are those
// of the long form; here only what a busy machine cannot blur is demanded.
func TestBarrierIsShared(t *testing.T) {
	c := compare(t, testkit.Sized(3, 9), time.Duration(testkit.Sized(500, 2000))*time.Millisecond)
	t.Log(c)
	lenient := float64(testkit.Sized(2, 1))
	if c.perSync*lenient < perSync {
		t.Errorf("one sync for %.1f commands at %d callers, want at least %.0f", c.perSync, manyCallers, perSync/lenient)
	}
	if c.rate*lenient < leastRate {
		t.Errorf("%.2f times the rate of SyncAlways at %d callers, want at least %.1f", c.rate, manyCallers, leastRate/lenient)
	}
	if testkit.Full() && c.p50 > mostP50 {
		t.Errorf("p50 of one caller is %.2f times that of SyncAlways, want at most %.1f", c.p50, mostP50)
	}
}

// comparison is the medians over the rounds, shared barrier against SyncAlways.
type comparison struct {
	perSync, rate, p50 float64 // rate and p50 are ratios
	lines              []string
}

func (c comparison) String() string {
	s := "shared barrier against SyncAlways, rounds interleaved"
	for _, l := range c.lines {
		s += "\n" + l
	}
	return s + fmt.Sprintf("\nmedians: %.1f commands a sync, %.2f times the rate at %d callers, %.2f times the p50 of one caller",
		c.perSync, c.rate, manyCallers, c.p50)
}

// compare measures both services in the same run, round by round, so that what
// else the machine does falls on both.
func compare(t testing.TB, rounds int, each time.Duration) comparison {
	t.Helper()
	shared, always := newRig(t, "shared barrier", false), newRig(t, "SyncAlways", true)
	for _, r := range []*rig{shared, always} {
		r.round(t, manyCallers, each/4) // to warm up
	}
	var c comparison
	var perSyncs, rates, p50s []float64
	for i := range rounds {
		order := []*rig{shared, always}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		many, one := map[*rig]figures{}, map[*rig]figures{}
		for _, r := range order {
			many[r] = r.round(t, manyCallers, each)
		}
		for _, r := range order {
			one[r] = r.round(t, 1, each/2)
		}
		a, b, a1, b1 := many[shared], many[always], one[shared], one[always]
		perSyncs = append(perSyncs, a.perSync())
		rates = append(rates, a.rate()/b.rate())
		p50s = append(p50s, float64(a1.quantile(.5))/float64(b1.quantile(.5)))
		c.lines = append(c.lines, fmt.Sprintf("%d: %d callers %.0f/s against %.0f/s, p50 %v against %v, %.1f commands a sync; one caller p50 %v against %v",
			i+1, manyCallers, a.rate(), b.rate(), micro(a.quantile(.5)), micro(b.quantile(.5)), a.perSync(), micro(a1.quantile(.5)), micro(b1.quantile(.5))))
	}
	c.perSync, c.rate, c.p50 = median(perSyncs), median(rates), median(p50s)
	return c
}

func micro(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

func median[T cmp.Ordered](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkBarrier prints the comparison; make bench runs it.
func BenchmarkBarrier(b *testing.B) {
	for b.Loop() {
		c := compare(b, 5, 2*time.Second)
		b.ReportMetric(c.perSync, "commands/sync")
		b.ReportMetric(c.rate, "rate-ratio")
		b.ReportMetric(c.p50, "p50-ratio")
		fmt.Fprintln(os.Stderr, c)
	}
}
