package intercom_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatebook/commands"
	"gatebook/events/seal"
	"gatebook/intercom"
	"gatebook/intercom/gate"
	"gatebook/intercom/journal"
	"gatebook/ops/testkit"
	"gatebook/projections"
)

func TestCutOffAndBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	r.ledger.issue("4711", time.Hour)
	revoked := r.ledger.issue("5823", time.Hour)
	r.ledger.revoke(revoked)
	i := r.start()
	r.level(i)

	r.srv.Shutdown()
	r.cut(i)
	began := time.Now()
	wantReject(t, try(i, "4711"), projections.CutOff)
	wantReject(t, try(i, "6934"), projections.CutOff) // may have been issued since
	wantReject(t, try(i, "5823"), projections.IsRevoked)
	wantReject(t, try(i, "exit 4711"), projections.WrongDirection)
	if took := time.Since(began); took > time.Second {
		t.Errorf("four refusals while cut off took %v", took)
	}
	if n := r.ledger.useCount(); n != 0 {
		t.Errorf("the ledger was asked %d times", n)
	}

	r.startServer()
	r.level(i)
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Done)
}

func (r *rig) cut(i *intercom.Intercom) {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() error {
		if s := i.Status(); s.Connected {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

// The ledger went on while the line was cut. Nothing but what is final may be
// refused from the old table.
func TestEventsWhileCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	p := newProxy(t, r.url)
	i := r.start(func(c *intercom.Config) { c.URL = p.url })
	r.level(i)
	p.silent.Store(true)
	r.cut(i)
	r.ledger.revoke(id)
	r.ledger.issue("5823", time.Hour)
	p.silent.Store(false)
	r.level(i)
	wantReject(t, try(i, "4711"), projections.IsRevoked)
	wantOpen(t, try(i, "5823"), projections.Entry, gate.Done)
}

func TestSilentLineCountsAsCutWithinThreeSeconds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	p := newProxy(t, r.url)
	i := r.start(func(c *intercom.Config) { c.URL = p.url })
	r.level(i)
	p.silent.Store(true)
	began := time.Now()
	r.cut(i)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the line counted as up for %v", took)
	}
}

// A use that is asked for as the line falls silent ends as cut off, and the gate
// stays shut whatever becomes of it.
func TestLineFallsSilentWhileAsking(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	p := newProxy(t, r.url)
	i := r.start(func(c *intercom.Config) { c.URL = p.url })
	r.level(i)
	r.ledger.set(func() { r.ledger.useDone = func(commands.UseRequest) { p.silent.Store(true) } })
	began := time.Now()
	wantReject(t, try(i, "4711"), projections.CutOff)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the guest waited %v", took)
	}
	if told := r.gate.told(); len(told) != 0 {
		t.Errorf("the gate was told %v", told)
	}
	p.silent.Store(false)
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReport("failed") })
}

func TestRestartWhileCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	r.ledger.issue("4711", time.Hour)
	r.ledger.revoke(r.ledger.issue("5823", time.Hour))
	i := r.start()
	r.level(i)
	_ = i.Close()
	r.srv.Shutdown()

	i = r.start(func(c *intercom.Config) { c.Wall = func() time.Time { return time.Unix(0, 0) } })
	wantReject(t, try(i, "5823"), projections.IsRevoked)
	wantReject(t, try(i, "exit 4711"), projections.WrongDirection)
	wantReject(t, try(i, "4711"), projections.CutOff)
	_ = i.Close()

	i = r.start(func(c *intercom.Config) { c.Wall = func() time.Time { return time.Now().Add(2 * time.Hour) } })
	wantReject(t, try(i, "4711"), projections.IsExpired)
}

func TestFirstStartWithoutALedger(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	r.srv.Shutdown()
	i := r.start()
	began := time.Now()
	wantReject(t, try(i, "4711"), projections.CutOff)
	if took := time.Since(began); took < 4*time.Second || took > 6*time.Second {
		t.Errorf("waited %v for the first catch-up", took)
	}
	began = time.Now()
	wantReject(t, try(i, "4711"), projections.CutOff)
	if took := time.Since(began); took > time.Second {
		t.Errorf("waited %v again", took)
	}
	r.startServer()
	r.level(i)
	wantOpen(t, try(i, "4711"), projections.Entry, gate.Done)
}

// A table that is not as it was written is fetched anew, whole.
func TestDamagedTable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	j, err := journal.Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.SaveTable([]byte(`{"state":`)); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	i := r.start()
	r.level(i)
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if first := r.ledger.syncs[0]; !first.Full {
		t.Errorf("the first catch-up was %+v", first)
	}
}

func TestEndedEnrolment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.level(i)
	r.disenroll()
	testkit.Eventually(t, soon, func() error {
		if s := i.Status(); s.Connected || !s.Refused {
			return fmt.Errorf("status %+v", s)
		}
		return r.log.says("this enrolment was ended: enrol again")
	})
	wantReject(t, try(i, "4711"), projections.CutOff)
	_ = i.Close()

	r.log.mu.Lock()
	r.log.buf.Reset()
	r.log.mu.Unlock()
	r.start()
	testkit.Eventually(t, soon, func() error { return r.log.says("this enrolment was ended: enrol again") })
}

func TestLineThatTheClientGaveUpIsDialledAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	r.level(i)
	i.DropLine()
	r.cut(i)
	r.ledger.issue("5823", time.Hour)
	r.level(i)
	wantOpen(t, try(i, "5823"), projections.Entry, gate.Done)
}

// Another enrolment has another match key: what was saved under the former one
// stands for other digits now.
func TestEnrolledAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	r.ledger.revoke(r.ledger.issue("4711", time.Hour))
	i := r.start()
	r.level(i)
	_ = i.Close()
	key := seal.Key{1, 2, 3}
	r.ledger.set(func() { r.ledger.key = key })
	r.enroll(key)
	i = r.start()
	wantReject(t, try(i, "4711"), projections.IsRevoked)
	wantReject(t, try(i, "5823"), projections.Unknown)
	if n := r.ledger.useCount(); n != 0 {
		t.Errorf("the ledger was asked %d times", n)
	}
}

func TestReceiptIsGivenUntilItIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	r.ledger.set(func() { r.ledger.unavailable["receipt"] = true })
	i := r.start()
	r.level(i)
	testkit.Eventually(t, soon, func() error { return r.log.says("a receipt was not taken") })
	r.ledger.set(func() { clear(r.ledger.unavailable) })
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReceipt(2) })
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	for _, got := range r.ledger.receipts {
		if got.Hash != r.ledger.states[got.Revision].Hash {
			t.Errorf("receipt %+v", got)
		}
	}
}

// Nobody types: the intercom still catches up once and says so.
func TestServeWithoutGuestsGivesItsReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	if err := i.Serve(context.Background(), strings.NewReader(""), new(strings.Builder)); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.ledger.hasReceipt(2); err != nil {
		t.Error(err)
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	active(r)
	i := r.start()
	in := strings.NewReader("  entry 4711\r\nletters\n123\n12345\n\n" + strings.Repeat("4", 1<<20) + "\nentry  4711\nexit 4711")
	var out strings.Builder
	if err := i.Serve(context.Background(), in, &out); err != nil {
		t.Fatal(err)
	}
	_ = i.Close()
	if err := r.ledger.hasReceipt(4); err != nil {
		t.Error(err) // also that of what the last guest did
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{
		`{"decision":"open","reason":null,"direction":"entry","code_id":"`,
		`{"decision":"reject","reason":"unknown","direction":null,"code_id":null,"revision":`,
		`{"decision":"reject","reason":"unknown","direction":null,"code_id":null,"revision":`,
		`{"decision":"reject","reason":"unknown","direction":null,"code_id":null,"revision":`,
		`{"decision":"reject","reason":"unknown","direction":null,"code_id":null,"revision":`,
		`{"decision":"reject","reason":"unknown","direction":null,"code_id":null,"revision":`,
		`{"decision":"reject","reason":"wrong_direction","direction":"entry","code_id":"`,
		`{"decision":"open","reason":null,"direction":"exit","code_id":"`,
	}
	if len(lines) != len(want) {
		t.Fatalf("got %d decisions:\n%s", len(lines), out.String())
	}
	for n, line := range lines {
		if !strings.HasPrefix(line, want[n]) || !strings.Contains(line, `"took_us":`) {
			t.Errorf("decision %d is %s", n, line)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i := r.start()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := i.Serve(ctx, blocked{t.Context()}, new(strings.Builder)); err != nil {
		t.Fatal(err)
	}
}

// blocked is an input on which nobody types.
type blocked struct{ until context.Context }

func (b blocked) Read([]byte) (int, error) { <-b.until.Done(); return 0, errors.New("closed") }

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, change := range map[string]func(*intercom.Config){
		"no address":      func(c *intercom.Config) { c.URL = "" },
		"a wrong address": func(c *intercom.Config) { c.URL = "nats://[" },
		"no enrolment":    func(c *intercom.Config) { c.Credentials = intercom.Credentials{} },
		"no folder":       func(c *intercom.Config) { c.StateDir = "" },
		"no gates":        func(c *intercom.Config) { c.Gates = nil },
		"no direction":    func(c *intercom.Config) { c.Direction = "up" },
	} {
		c := r.config()
		change(&c)
		if i, err := intercom.Start(context.Background(), c); err == nil {
			_ = i.Close()
			t.Errorf("it started with %s", name)
		}
	}
}

func TestFolderOfAnotherIntercom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j, err := journal.Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Identity("another"); err != nil {
		t.Fatal(err)
	}
	_ = j.Close()
	if _, err := intercom.Start(context.Background(), r.config()); !errors.Is(err, journal.ErrIdentity) {
		t.Errorf("got %v", err)
	}
}

// Not parallel: what other tests run would count.
func TestCloseLeavesNothingRunning(t *testing.T) {
	r := newRig(t)
	active(r)
	before := goleak.IgnoreCurrent()
	c := r.config()
	i, err := intercom.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	r.level(i)
	_ = i.Close()
	_ = i.Close() // twice is harmless
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*client).writeLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*client).readLoop"))
}
