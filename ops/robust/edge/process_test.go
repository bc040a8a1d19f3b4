package edge

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"gatebook/commands"
	"gatebook/commands/client"
	"gatebook/ops/testkit"
)

// TestStoppedIntercom: a revoke that the intercom cannot hear of is revoked all
// the same, and says that nobody has applied it.
func TestStoppedIntercom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.issue()
	k := r.keypad()
	says(t, k, "exit "+c.digits, "wrong_direction")
	k.Stop()
	began := time.Now()
	a := r.revoke(c, "--wait", "2s") // Do wants exit status 0
	if a.AppliedAt != nil || a.RevokedAt.IsZero() {
		t.Errorf("revoke under a stopped intercom answers %+v", a)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it waited %v, want 2s", took)
	}
	if at := r.show(c).AppliedAt; at != nil {
		t.Errorf("it was applied at %v by an intercom that does not run", at)
	}
	k.Continue()
	back := time.Now()
	testkit.Eventually(t, patient, func() error {
		if r.show(c).AppliedAt == nil {
			return fmt.Errorf("applied_at is null")
		}
		return nil
	})
	t.Logf("applied %v after the intercom went on", time.Since(back))
	says(t, k, "entry "+c.digits, "revoked")
}

// TestKilledBeforeTheAnswer: the entry is committed, and the intercom is killed
// before it hears so. The gate never opens for it; the next process says so, and
// the code is given back.
func TestKilledBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.issue()
	k := r.keypad()
	says(t, k, "exit "+c.digits, "wrong_direction")
	r.line.HoldAnswers()
	k.Send("entry " + c.digits)
	r.until(c, "issued entered")
	k.Kill()
	r.line.Pass()
	k = r.keypad()
	r.until(c, "issued entered failed(failed)")
	if got := r.openings(); len(got) != 0 {
		t.Errorf("the gate opened: %v", got)
	}
	saysSoon(t, k, "entry "+c.digits, "open done", time.Now(), patient)
	if got := r.openings(); len(got) != 1 {
		t.Errorf("the gate opened %d times, want once: %v", len(got), got)
	}
	if got := r.history(c); got != "issued entered failed(failed) entered" {
		t.Errorf("the history is %s", got)
	}
}

// TestKilledAtTheGate: the gate was told and the intercom is killed before it
// hears the gate's answer. Nobody can know whether it opened: the history says
// time-out, nothing is given back, and it is not told again.
func TestKilledAtTheGate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.issue()
	k := r.keypadWith(`echo "$GATEBOOK_ATTEMPT" >> '` + r.opened + `'; exec sleep 60`)
	k.Send("entry " + c.digits)
	testkit.Eventually(t, patient, func() error {
		if len(r.openings()) == 0 {
			return fmt.Errorf("the gate was not told")
		}
		return nil
	})
	k.Kill()
	k = r.keypad()
	r.until(c, "issued entered failed(timeout)")
	says(t, k, "entry "+c.digits, "wrong_direction")
	if got := r.openings(); len(got) != 1 {
		t.Errorf("the gate was told %d times, want once: %v", len(got), got)
	}
}

// TestKilledAnywhere kills the intercom at instants between the digits and the
// gate, and looks for a second opening.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(testkit.Seed(t), 0))
	r := newRig(t)
	k := r.keypad()
	var seen []string
	ends := map[string]int{}
	for range testkit.Sized(12, 100) {
		c := r.issue()
		says(t, k, "exit "+c.digits, "wrong_direction")
		before := len(r.openings())
		k.Send("entry " + c.digits)
		time.Sleep(time.Duration(rnd.Int64N(int64(12 * time.Millisecond)))) // the fault: an instant, not a wait
		k.Kill()
		k = r.keypad()
		k.Try("entry " + c.digits) // it is caught up, and has reported what it found
		var history string
		testkit.Eventually(t, patient, func() error {
			history = r.history(c)
			lines := len(r.openings()) - before
			entered, back := strings.Count(history, "entered"), strings.Count(history, "failed(failed)")
			if lines > entered-back {
				t.Fatalf("the gate opened %d times for: %s", lines, history)
			}
			if entered-back == 1 && lines == 0 && !strings.Contains(history, "timeout") {
				return fmt.Errorf("an entry without an opening is not explained: %s", history)
			}
			return nil
		})
		ends[history]++
		seen = r.openings()
		if last := slices.Compact(slices.Sorted(slices.Values(seen))); len(last) != len(seen) {
			t.Fatalf("an attempt opened the gate twice: %v", seen)
		}
		if r.show(c).State != "spent" {
			r.revoke(c)
		}
	}
	t.Logf("%d openings; the histories of codes whose intercom was killed: %v", len(seen), ends)
}

// TestTwoProcessesOneState: the second is refused, the first goes on.
func TestTwoProcessesOneState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.issue()
	first := r.keypad()
	says(t, first, "exit "+c.digits, "wrong_direction")
	second := r.keypad()
	if status := second.Wait(); status != 1 || !strings.Contains(second.Log(), `"error"`) {
		t.Errorf("the second process ended with status %d and said %s", status, second.Log())
	}
	says(t, first, "entry "+c.digits, "open done")
}

// TestEnrolAgain: who has the former credentials is out within a second, and can
// do nothing.
func TestEnrolAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.issue()
	former := r.keypad()
	says(t, former, "exit "+c.digits, "wrong_direction")
	old := r.creds
	began := time.Now()
	r.creds, r.state = r.enroll(), t.TempDir()
	t.Logf("the former enrolment was cut %v after the command began", logged(t, former, lineCut, began, soon))
	says(t, former, "entry "+c.digits, "cut_off")
	nc, err := nats.Connect(r.server.NATS, nats.UserCredentials(old))
	if err == nil {
		nc.Close()
		t.Error("the server lets the former credentials in")
	}
	t.Logf("connecting with the former credentials: %v", err)
	now := r.keypad()
	says(t, now, "entry "+c.digits, "open done")
	says(t, former, "entry "+c.digits, "cut_off")
	r.server.Kill()
	r.server = r.server.Again()
	if nc, err := nats.Connect(r.server.NATS, nats.UserCredentials(old)); err == nil {
		nc.Close()
		t.Error("after a restart the server lets the former credentials in")
	}
}

// TestRevokeReachesTheGate measures how long after a revoke was stored the
// intercom has said that it applies it.
func TestRevokeReachesTheGate(t *testing.T) {
	r := newRig(t)
	k := r.keypad()
	creds, err := os.ReadFile(filepath.Join(r.server.Dir, "owner.creds"))
	if err != nil {
		t.Fatal(err)
	}
	people, err := client.Dial(r.server.NATS, creds)
	if err != nil {
		t.Fatal(err)
	}
	defer people.Close()
	var took []time.Duration
	for range testkit.Sized(20, 200) {
		c := r.issue()
		says(t, k, "exit "+c.digits, "wrong_direction")
		var a commands.RevokeAnswer
		body := commands.RevokeRequest{Command: ulid.Make().String(), ID: c.id, WaitMS: 5000}
		if err := people.Do(t.Context(), gate, commands.Revoke, body, &a); err != nil || a.AppliedAt == nil {
			t.Fatalf("revoke: %+v, %v", a, err)
		}
		says(t, k, "entry "+c.digits, "revoked")
		took = append(took, a.AppliedAt.Sub(a.RevokedAt))
	}
	slices.Sort(took)
	t.Logf("revoked to applied, %d times: p50 %v, p95 %v, worst %v", len(took), took[len(took)/2], took[len(took)*95/100], took[len(took)-1])
	if took[len(took)/2] > soon {
		t.Errorf("half of the revokes took longer than %v to reach the gate", soon)
	}
}

// until waits for a code's history to be that.
func (r *rig) until(c code, want string) {
	r.t.Helper()
	testkit.Eventually(r.t, patient, func() error {
		if got := r.history(c); got != want {
			return fmt.Errorf("the history is %s, want %s", got, want)
		}
		return nil
	})
}
