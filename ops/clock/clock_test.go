package clock

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// machine has two clocks that a test sets by hand.
type machine struct {
	mu   sync.Mutex
	wall time.Time
	boot time.Duration
}

func newMachine() *machine {
	return &machine{wall: time.Date(2026, 3, 29, 0, 59, 50, 0, time.UTC), boot: 77 * time.Hour}
}

func (m *machine) clock() *Clock {
	return New(
		func() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.wall },
		func() time.Duration { m.mu.Lock(); defer m.mu.Unlock(); return m.boot })
}

// pass lets time go by on both clocks, the wall clock going off by drift.
func (m *machine) pass(d, drift time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot += d
	m.wall = m.wall.Add(d + drift)
}

func (m *machine) set(by time.Duration) { m.pass(0, by) }

func TestNowIsPlainUTC(t *testing.T) {
	zone := time.FixedZone("somewhere", 3600)
	at := time.Now().In(zone)
	got, err := New(func() time.Time { return at }, func() time.Duration { return 0 }).Now()
	if err != nil || got != at.Round(0).UTC() { // == also compares zone and monotonic reading
		t.Fatalf("%#v, %v", got, err)
	}
}

func TestSystem(t *testing.T) {
	before := time.Now().Round(0)
	got, err := System().Now()
	if err != nil || got.Before(before) || got.Sub(before) > time.Minute || got.Location() != time.UTC {
		t.Fatalf("%v after %v: %v", got, before, err)
	}
}

func TestOneStep(t *testing.T) {
	for _, c := range []struct {
		by   time.Duration
		jump bool
	}{
		{0, false}, {time.Second, false}, {-time.Second, false},
		{tolerance, false}, {-tolerance, false},
		{tolerance + 1, true}, {-tolerance - 1, true},
		{time.Hour, true}, {-200 * 24 * time.Hour, true},
	} {
		m := newMachine()
		clock := m.clock()
		m.set(c.by)
		for range 3 { // it stays an error, and it stays good
			checkJump(t, clock, c.jump, c.by)
		}
		m.set(-c.by)
		checkJump(t, clock, false, 0)
	}
}

func TestSmallStepsAddUp(t *testing.T) {
	m := newMachine()
	clock := m.clock()
	for i := range 5 {
		m.pass(time.Millisecond, time.Second)
		if _, err := clock.Now(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	m.pass(time.Millisecond, time.Second)
	checkJump(t, clock, true, 6*time.Second)
}

// A quiet day must not save up credit for a jump in two halves.
func TestCreditIsNotSaved(t *testing.T) {
	m := newMachine()
	clock := m.clock()
	for range 24 * 3600 {
		m.pass(time.Second, 0)
		checkJump(t, clock, false, 0)
	}
	m.pass(time.Second, 3*time.Second)
	checkJump(t, clock, false, 0)
	m.pass(time.Second, 3*time.Second)
	checkJump(t, clock, true, 0)
}

// A leap second is followed within the hour, so that years of them are no jump.
func TestLeapSecondsAreFollowed(t *testing.T) {
	m := newMachine()
	clock := m.clock()
	for range 100 {
		m.set(-time.Second)
		for range 60 {
			m.pass(time.Minute, 0)
			checkJump(t, clock, false, 0)
		}
	}
}

// A thread that is held up between the two readings is no jump.
func TestHeldUpBetweenReadings(t *testing.T) {
	m := newMachine()
	held := false
	clock := New(func() time.Time { return m.wall }, func() time.Duration {
		if held {
			held = false
			m.pass(time.Minute, 0)
		}
		return m.boot
	})
	held = true
	got, err := clock.Now()
	if err != nil || !got.Equal(m.wall) {
		t.Fatalf("%v, %v, the wall clock says %v", got, err, m.wall)
	}
}

// The cheap estimate of the boot clock stands still while the machine sleeps.
// That must not look like a jump, and must not move the baseline.
func TestSleepIsNoJump(t *testing.T) {
	m := newMachine()
	clock := m.clock()
	var slept time.Duration
	clock.quick = func() time.Duration { return m.boot - slept }
	for _, nap := range []time.Duration{time.Second, 4 * time.Second, time.Minute, 100 * time.Hour} {
		slept = nap
		m.pass(nap, 0)
		checkJump(t, clock, false, 0)
		slept = 0
		m.pass(time.Hour, 0)
		checkJump(t, clock, false, 0)
		if off := clock.off(m.wall, m.boot); off != 0 {
			t.Fatalf("after a nap of %v the baseline is off by %v", nap, off)
		}
	}
}

func TestEstimateLiesBetweenTwoReadings(t *testing.T) {
	b := &bootClock{start: time.Now()}
	const slack = time.Millisecond // the two clocks round apart
	for range 1000 {
		low, got, high := b.read(), b.estimate(), b.read()
		if got < low-slack || got > high+slack {
			t.Fatalf("%v is not between %v and %v", got, low, high)
		}
	}
}

func TestJumpErrorSaysWhatToDo(t *testing.T) {
	for by, want := range map[time.Duration]string{
		90*time.Second + 1: "the wall clock jumped forward by 1m30s: put the clock right, or restart once it is right",
		-time.Hour:         "the wall clock jumped back by 1h0m0s: put the clock right, or restart once it is right",
	} {
		if got := (&JumpError{By: by}).Error(); got != want {
			t.Errorf("%v: %s", by, got)
		}
	}
}

// Whatever is done to the clocks, Now answers as the model does; and the model
// is bound by what the package promises.
func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	for i := range uint64(300) {
		if !t.Run("", func(t *testing.T) { against(t, rand.New(rand.NewPCG(seed, i))) }) {
			t.Fatalf("seed %d, run %d", seed, i)
		}
	}
}

func against(t *testing.T, r *rand.Rand) {
	m := newMachine()
	clock := m.clock()
	var base, last float64 // the model: baseline and its last move, seconds since the start
	wall, boot := m.wall, m.boot
	for range 500 {
		m.pass(somePause(r), someStep(r))
		up := (m.boot - boot).Seconds()
		off := m.wall.Sub(wall).Seconds() - up
		_, err := clock.Now()
		if gap := abs(off-base) - 5; abs(gap) > 1e-4 && (gap > 0) != (err != nil) {
			t.Fatalf("off %v from a baseline of %v: %v", off, base, err)
		}
		if err == nil && up-last >= 1 {
			base += min(max(off-base, -(up-last)/2000), (up-last)/2000)
			last = up
		}
		if most := 5 + up/2000; err == nil && abs(off) > most+1e-4 {
			t.Fatalf("%v s up, off by %v s in all, and no error", up, off)
		}
	}
}

// Drift of up to 500 ppm is never a jump, however irregular the readings.
func TestDriftIsNoJump(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for run := range 100 {
		m := newMachine()
		clock := m.clock()
		rate := r.Int64N(2*499) - 499
		for range 1000 {
			gap := time.Duration(r.Int64N(int64(9000 * time.Second)))
			m.pass(gap, gap/1e6*time.Duration(rate))
			if _, err := clock.Now(); err != nil {
				t.Fatalf("seed %d, run %d, %d ppm: %v", seed, run, rate, err)
			}
		}
	}
}

func TestConcurrentReaders(t *testing.T) {
	m := newMachine()
	clock := m.clock()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				m.pass(time.Second, 0)
				if _, err := clock.Now(); err != nil && !errors.As(err, new(*JumpError)) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m.set(time.Hour)
	checkJump(t, clock, true, 0)
}

func BenchmarkNow(b *testing.B) {
	clock := System()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := clock.Now(); err != nil {
				b.Error(err)
			}
		}
	})
}

// checkJump compares one reading with what is expected; by 0 is any amount.
func checkJump(t *testing.T, clock *Clock, jump bool, by time.Duration) {
	t.Helper()
	_, err := clock.Now()
	var found *JumpError
	if errors.As(err, &found) != jump {
		t.Fatalf("jump expected %v: %v", jump, err)
	}
	if jump && by != 0 && (found.By-by).Abs() > time.Millisecond {
		t.Fatalf("by %v, not %v", found.By, by)
	}
	if jump && !strings.Contains(err.Error(), "put the clock right") {
		t.Fatal(err)
	}
}

// somePause is short mostly, now and then hours.
func somePause(r *rand.Rand) time.Duration {
	top := []time.Duration{time.Millisecond, time.Second, time.Minute, 10 * time.Hour}[r.IntN(4)]
	return time.Duration(r.Int64N(int64(top)))
}

// someStep is none mostly, else a small one, one near the limit, or a jump.
func someStep(r *rand.Rand) time.Duration {
	top := []time.Duration{0, 0, 0, time.Second, 6 * time.Second, time.Hour}[r.IntN(6)]
	return time.Duration(r.Int64N(2*int64(top)+1)) - top
}

func abs(x float64) float64 { return max(x, -x) }
