package edge

import (
	"fmt"
	"testing"
	"time"

	"gatebook/ops/testkit"
)

const lineCut = "the line to the ledger is cut"

// TestDownThroughIssueRevokeAndExpiry: what happened while the intercom was not
// there, it knows within a second of being there again: as a process that was
// killed, and on a line that was cut.
func TestDownThroughIssueRevokeAndExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	expiring := r.issue("--validity", "1m")
	known, cutLater := r.issue(), r.issue()
	k := r.keypad()
	says(t, k, "exit "+known.digits, "wrong_direction") // it has caught up
	k.Kill()

	r.revoke(known)
	fresh := r.issue()
	testkit.Eventually(t, 90*time.Second, func() error {
		if state := r.show(expiring).State; state != "expired" {
			return fmt.Errorf("the code is %s", state)
		}
		return nil
	})
	back := time.Now()
	k = r.keypad()
	for _, want := range [][2]string{
		{known.digits, "revoked"}, {expiring.digits, "expired"}, {fresh.digits, "open done"},
	} {
		says(t, k, "entry "+want[0], want[1])
	}
	took := time.Since(back)
	if took > soon {
		t.Errorf("a started intercom was right only after %v, want within %v", took, soon)
	}
	t.Logf("a started intercom had revoked, expired and opened after %v", took)

	r.line.Cut()
	logged(t, k, lineCut, time.Now(), soon)
	r.revoke(cutLater)
	another := r.issue()
	r.line.Pass()
	t.Logf("a line that was cut: right after %v", saysSoon(t, k, "entry "+another.digits, "open done", time.Now(), soon))
	says(t, k, "entry "+cutLater.digits, "revoked")
}

// TestCutLine: what memory can refuse keeps its reason, the rest is cut_off; and
// the intercom comes back each time.
func TestCutLine(t *testing.T) {
	for _, way := range []struct {
		name string
		cut  func(*testkit.Proxy)
	}{
		{"closed", (*testkit.Proxy).Cut},
		{"silent", (*testkit.Proxy).Silence},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			active, inside, spent, revoked := r.issue(), r.issue(), r.issue(), r.issue()
			k := r.keypad()
			says(t, k, "entry "+inside.digits, "open done")
			says(t, k, "entry "+spent.digits, "open done")
			says(t, k, "exit "+spent.digits, "open done")
			r.revoke(revoked, "--wait", "5s")
			for range testkit.Sized(2, 6) {
				remembers(t, k, "exit "+active.digits, "wrong_direction")
				lines := len(r.openings())
				cut := time.Now()
				way.cut(r.line)
				says(t, k, "entry "+active.digits, "cut_off")
				t.Logf("%s: cut_off after %v", way.name, time.Since(cut))
				for _, want := range [][2]string{
					{"entry " + revoked.digits, "revoked"}, {"entry " + spent.digits, "spent"},
					{"entry " + inside.digits, "wrong_direction"}, {"exit " + active.digits, "wrong_direction"},
					{"exit " + inside.digits, "cut_off"}, {"entry 12", "unknown"},
				} {
					says(t, k, want[0], want[1])
				}
				t.Logf("%s: noticed after %v", way.name, logged(t, k, lineCut, cut, noticed))
				if got := len(r.openings()); got != lines {
					t.Errorf("the gate opened %d times while the line was cut", got-lines)
				}
				back := time.Now()
				r.line.Pass()
				// A use that lay in the silent line may be recorded now; the intercom
				// then says that its gate was never told, and the code is given back.
				fresh := r.issue()
				saysSoon(t, k, "entry "+fresh.digits, "open done", back, patient)
				saysSoon(t, k, "entry "+active.digits, "open done", back, patient)
				t.Logf("%s: back after %v; the code that was refused: %s", way.name, time.Since(back), r.history(active))
				active = r.issue()
			}
		})
	}
}

// TestNoticedWithoutAGuest: nobody asks on a silent line, and it counts as cut
// within 3 s all the same.
func TestNoticedWithoutAGuest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.issue()
	k := r.keypad()
	says(t, k, "exit "+c.digits, "wrong_direction")
	cut := time.Now()
	r.line.Silence()
	t.Logf("noticed after %v", logged(t, k, lineCut, cut, noticed))
	began := time.Now()
	says(t, k, "entry "+c.digits, "cut_off")
	if took := time.Since(began); took > soon/4 {
		t.Errorf("a line that is known as cut was waited for %v", took)
	}
}

// TestServerRestarts: the server is stopped, and killed, under a connected
// intercom.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	k := r.keypad()
	for n := range testkit.Sized(2, 8) {
		before := r.issue()
		revoked := r.issue()
		says(t, k, "entry "+before.digits, "open done")
		r.revoke(revoked)
		if n%2 == 0 {
			if status := r.server.Terminate(); status != 0 {
				t.Errorf("the server ended with status %d", status)
			}
		} else {
			r.server.Kill()
		}
		says(t, k, "entry "+revoked.digits, "revoked")
		says(t, k, "exit "+before.digits, "cut_off")
		r.server = r.server.Again()
		back := time.Now()
		took := saysSoon(t, k, "exit "+before.digits, "open done", back, 2*soon)
		says(t, k, "entry "+revoked.digits, "revoked")
		t.Logf("right %v after the server was ready again", took)
	}
}
