package intercom_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/intercom"
	"gatebook/intercom/gate"
	"gatebook/intercom/journal"
	"gatebook/ops/testkit"
	"gatebook/projections"
)

func TestFailedGateGivesTheCodeBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.gate.set(func() { r.gate.status = http.StatusServiceUnavailable })
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Failed)
	if err := r.ledger.hasReport(events.GateFailed); err != nil {
		t.Error(err) // the guest waited for it
	}
	r.gate.set(func() { r.gate.status = http.StatusOK })
	wantOpen(t, try(i, "entry 4711"), projections.Entry, gate.Done)
	_ = i.Close()
	wantPending(t, r.dir, 0)
}

func TestGateTimeoutGivesNothingBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	held := make(chan struct{})
	defer close(held)
	r.gate.set(func() { r.gate.onTold = func() { <-held } })
	i := r.start()
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Timeout)
	if err := r.ledger.hasReport(events.GateTimeout); err != nil {
		t.Error(err)
	}
	wantReject(t, try(i, "entry 4711"), projections.WrongDirection)
}

// The ledger answers "open", 2 s too late by the clock that counts suspend.
func TestStaleAnswerIsThrownAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	boot := new(fakeBoot)
	r.ledger.set(func() { r.ledger.useDone = func(commands.UseRequest) { boot.jump.Add(int64(2 * time.Second)) } })
	i := r.start(func(c *intercom.Config) { c.Boot = boot.now(time.Now()) })
	wantReject(t, try(i, "4711"), projections.CutOff)
	if told := r.gate.told(); len(told) != 0 {
		t.Errorf("the gate was told %v", told)
	}
	if err := r.ledger.hasReport(events.GateFailed); err != nil {
		t.Error(err)
	}
	r.ledger.set(func() { r.ledger.useDone = func(commands.UseRequest) {} })
	wantOpen(t, try(i, "entry 4711"), projections.Entry, gate.Done) // given back
}

// No answer at all, and the use is recorded only after the report that it never
// was: the report is repeated.
func TestLateUseIsReportedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.level(i)
	r.ledger.set(func() { r.ledger.dumb = true })
	wantReject(t, try(i, "4711"), projections.CutOff)
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReport(events.GateFailed) })
	r.ledger.mu.Lock()
	late := r.ledger.asked[0]
	r.ledger.dumb = false
	r.ledger.mu.Unlock()
	if a := r.ledger.use(late); a.Decision != "open" {
		t.Fatalf("the late use: %+v", a)
	}
	testkit.Eventually(t, soon, func() error {
		if d := try(i, "entry 4711"); d.Decision != "open" {
			return fmt.Errorf("not given back: %+v", d)
		}
		return nil
	})
	_ = i.Close()
	wantPending(t, r.dir, 0)
}

// A use that was never recorded is kept for a minute, by the journal's time.
func TestNeverRecordedUseIsForgottenInTime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	leave(t, r.dir, time.Now().Add(-30*time.Second))
	i := r.start()
	r.level(i)
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReport(events.GateFailed) })
	_ = i.Close()
	wantPending(t, r.dir, 1)

	i = r.start(func(c *intercom.Config) {
		c.Wall = func() time.Time { return time.Now().Add(time.Minute) }
	})
	r.level(i)
	_ = i.Close()
	wantPending(t, r.dir, 0)
}

func leave(t testing.TB, dir string, askedAt time.Time) {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Ask(journal.Attempt{Command: newULID(), Direction: "entry", AskedAt: askedAt}); err != nil {
		t.Fatal(err)
	}
}

func wantPending(t testing.TB, dir string, want int) {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if left, err := j.Pending(); err != nil || len(left) != want {
		t.Errorf("pending %+v, %v; want %d", left, err, want)
	}
}

// The revoke overtakes the opening answer: it was seen live before the gate
// would have been told.
func TestRevokeSeenMeanwhileKeepsTheGateShut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	i := r.start()
	r.level(i)
	r.ledger.set(func() {
		r.ledger.useDone = func(commands.UseRequest) {
			revision := r.ledger.revoke(id).Revision
			// Not on the test's goroutine: a plain wait, which the answer's 2 s bound.
			for over := time.After(time.Second); i.Status().Revision < revision; {
				select {
				case <-over:
					return
				default:
					runtime.Gosched()
				}
			}
		}
	})
	wantReject(t, try(i, "4711"), projections.IsRevoked)
	if told := r.gate.told(); len(told) != 0 {
		t.Errorf("the gate was told %v", told)
	}
	if err := r.ledger.hasReport(events.GateFailed); err != nil {
		t.Error(err)
	}
}

// Leave-once: the one exit after a revoke is the ledger's to give.
func TestLeaveOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(func(c *commands.ConfigureRequest) { yes := true; c.LeaveOnce = &yes })
	id := r.ledger.issue("4711", time.Hour)
	i := r.start()
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Done)
	r.ledger.revoke(id)
	r.level(i)
	wantReject(t, try(i, "entry 4711"), projections.IsRevoked)
	wantOpen(t, try(i, "4711"), projections.Exit, gate.Done)
	wantReject(t, try(i, "4711"), projections.IsRevoked)
}

// An answer that does not fit the question opens nothing.
func TestUnsoundAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	for name, distort := range map[string]func(*commands.UseAnswer){
		"another direction": func(a *commands.UseAnswer) { a.Direction = projections.Exit },
		"no direction":      func(a *commands.UseAnswer) { a.Direction = "" },
		"no device":         func(a *commands.UseAnswer) { a.Device = "" },
		"no code":           func(a *commands.UseAnswer) { a.CodeID = "" },
		"no event":          func(a *commands.UseAnswer) { a.Use = "" },
		"no decision":       func(a *commands.UseAnswer) { a.Decision = "" },
		"no reason":         func(a *commands.UseAnswer) { a.Decision = "reject" },
	} {
		r.ledger.set(func() { r.ledger.distort = distort })
		if d := try(i, "entry 4711"); d.Decision != "reject" || d.Reason == "" {
			t.Errorf("%s: %+v", name, d)
		}
		r.ledger.set(func() { r.ledger.distort = func(*commands.UseAnswer) {} })
	}
	if told := r.gate.told(); len(told) != 0 {
		t.Errorf("the gate was told %v", told)
	}
}

// What cannot be kept on disk is not asked for, and what is seen revoked is
// rejected even so.
func TestNoDiskNoAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	i := r.start()
	r.level(i)
	i.LoseDisk()
	wantReject(t, try(i, "4711"), projections.CutOff)
	if n := r.ledger.useCount(); n != 0 {
		t.Errorf("the ledger was asked %d times", n)
	}
	r.ledger.revoke(id)
	r.level(i)
	wantReject(t, try(i, "4711"), projections.IsRevoked)
}

// The disk fails between the answer and the gate, which then stays shut.
func TestDiskLostWhileAsking(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.level(i)
	r.ledger.set(func() { r.ledger.gotUse = func(commands.UseRequest) { i.LoseDisk() } })
	wantReject(t, try(i, "4711"), projections.CutOff)
	if told := r.gate.told(); len(told) != 0 {
		t.Errorf("the gate was told %v", told)
	}
	if err := r.ledger.hasReport(events.GateFailed); err != nil {
		t.Error(err)
	}
}

// Without an id an attempt could not be found again: it is not made.
func TestNoRandomnessNoAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start(func(c *intercom.Config) { c.Rand = iotest.ErrReader(errors.New("no entropy")) })
	wantReject(t, try(i, "4711"), projections.CutOff)
	if n := r.ledger.useCount(); n != 0 {
		t.Errorf("the ledger was asked %d times", n)
	}
}

// Guests come from two keypads while codes are given out and revoked. Every
// gate that was told has its fact (law 4), once; a code whose revoke was applied
// stays out.
func TestGuestsAndRevokesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	i := r.start()
	r.level(i)
	for range 10 {
		id := r.ledger.issue("4711", time.Hour)
		var guests sync.WaitGroup
		for range 2 {
			guests.Go(func() {
				for _, line := range []string{"4711", "exit 4711", "5823", "entry 4711"} {
					try(i, line)
				}
			})
		}
		want := projections.IsSpent
		if r.ledger.revokeIfLive(id) {
			want = projections.IsRevoked
		}
		guests.Wait()
		testkit.Eventually(t, soon, func() error {
			if s := i.Status(); s.Revision < r.ledger.revision() {
				return fmt.Errorf("status %+v", s)
			}
			return nil
		})
		wantReject(t, try(i, "4711"), want)
	}
	told := map[string]bool{}
	for _, order := range r.gate.told() {
		var o struct{ Attempt string }
		if err := json.Unmarshal([]byte(order), &o); err != nil {
			t.Fatal(err)
		}
		r.ledger.mu.Lock()
		_, fact := r.ledger.uses[o.Attempt]
		r.ledger.mu.Unlock()
		if !fact || told[o.Attempt] {
			t.Errorf("the gate was told for attempt %s: recorded %v, told before %v", o.Attempt, fact, told[o.Attempt])
		}
		told[o.Attempt] = true
	}
}
