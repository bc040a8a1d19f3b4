package edge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/ops/testkit"
)

const (
	gate = "front-gate"
	// soon is how fast an intercom must be right again after it has come back.
	soon = time.Second
	// noticed is how fast a silent line must count as cut.
	noticed = 3 * time.Second
	// patient is for what has no bound of its own.
	patient = 20 * time.Second
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// rig is a ledger with one enrolled intercom, and a line between them.
type rig struct {
	t       *testing.T
	server  *testkit.Server
	line    *testkit.Proxy
	creds   string
	state   string
	opened  string // the gate device writes a line here each time that it opens
	guests  int
	program string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	program := testkit.Program(t)
	r := &rig{t: t, program: program, server: testkit.StartServer(t, program, t.TempDir())}
	r.line = testkit.NewProxy(t, r.server.Address())
	r.state, r.opened = t.TempDir(), filepath.Join(t.TempDir(), "opened")
	r.server.Do(nil, "settings", gate, "--entry-device", "main-gate", "--limit", "40")
	r.creds = r.enroll()
	return r
}

// enroll makes credentials of the intercom; those that it had before end.
func (r *rig) enroll() string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "intercom.creds")
	r.server.Do(nil, "enroll", gate, "--out", path)
	return path
}

// keypad starts the intercom on the line, with a gate that writes down that it
// opened.
func (r *rig) keypad() *testkit.Keypad {
	r.t.Helper()
	return r.keypadWith(`echo "$GATEBOOK_ATTEMPT $GATEBOOK_DIRECTION" >> '` + r.opened + `'`)
}

// keypadWith starts the intercom with a gate that is this shell script.
func (r *rig) keypadWith(script string) *testkit.Keypad {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "gate.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	return testkit.StartKeypad(r.t, r.program, testkit.KeypadConfig{
		Intercom: gate, Server: r.line.URL(), Creds: r.creds, State: r.state,
		Flags: []string{"--stay", "--gate", "main-gate=exec:/bin/sh " + path},
	})
}

// code is one that was issued.
type code struct{ id, digits string }

func (r *rig) issue(flags ...string) code {
	r.t.Helper()
	r.guests++
	var a commands.IssueAnswer
	r.server.Do(&a, append([]string{"issue", gate, "--name", fmt.Sprintf("Guest %d", r.guests), "--mobile", "+49 170 1234567"}, flags...)...)
	return code{a.ID, *a.Code}
}

func (r *rig) revoke(c code, flags ...string) (a commands.RevokeAnswer) {
	r.t.Helper()
	r.server.Do(&a, append([]string{"revoke", gate, c.id, "--yes"}, flags...)...)
	return a
}

func (r *rig) show(c code) (a commands.ShowAnswer) {
	r.t.Helper()
	r.server.Do(&a, "show", gate, c.id)
	return a
}

// history is the types of a code's events.
func (r *rig) history(c code) string {
	r.t.Helper()
	var types []string
	for _, e := range r.show(c).Events {
		one := string(e.Type)
		if e.Type == events.Failed {
			one += strings.NewReplacer(`"gate":"`, "").Replace(gateOf(e))
		}
		types = append(types, one)
	}
	return strings.Join(types, " ")
}

// gateOf is what a failed event says of the gate, in brackets.
func gateOf(e commands.AuditItem) string {
	for _, word := range []string{events.GateFailed, events.GateTimeout} {
		if strings.Contains(string(e.Data), `"gate":"`+word+`"`) {
			return "(" + word + ")"
		}
	}
	return "(?)"
}

// openings are the lines that the gate device wrote.
func (r *rig) openings() []string {
	r.t.Helper()
	raw, err := os.ReadFile(r.opened)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n")[:strings.Count(string(raw), "\n")]
}

// says types a line and wants that decision.
func says(t *testing.T, k *testkit.Keypad, line, want string) {
	t.Helper()
	if got := k.Try(line).Says(); got != want {
		t.Errorf("%q gives %q, want %q", line, got, want)
	}
}

// saysSoon types a line until it gives that decision, and tells how long that
// took from since.
func saysSoon(t *testing.T, k *testkit.Keypad, line, want string, since time.Time, within time.Duration) time.Duration {
	t.Helper()
	testkit.Eventually(t, patient, func() error {
		if got := k.Try(line).Says(); got != want {
			return fmt.Errorf("%q gives %q, want %q", line, got, want)
		}
		return nil
	})
	took := time.Since(since)
	if took > within {
		t.Errorf("%q gave %q only after %v, want within %v", line, want, took, within)
	}
	return took
}

// fromMemory is less than a decision takes that is asked for: an attempt is put
// on disk first.
const fromMemory = 300 * time.Microsecond

// remembers waits until the intercom gives that decision by itself.
func remembers(t *testing.T, k *testkit.Keypad, line, want string) {
	t.Helper()
	testkit.Eventually(t, patient, func() error {
		d := k.Try(line)
		took := time.Duration(d.TookUS) * time.Microsecond
		if d.Says() != want || took > fromMemory {
			return fmt.Errorf("%q gives %q in %v", line, d.Says(), took)
		}
		return nil
	})
}

// logged waits until a process has said something.
func logged(t *testing.T, k *testkit.Keypad, words string, since time.Time, within time.Duration) time.Duration {
	t.Helper()
	testkit.Eventually(t, patient, func() error {
		if !strings.Contains(k.Log(), words) {
			return fmt.Errorf("the intercom has not said %q", words)
		}
		return nil
	})
	took := time.Since(since)
	if took > within {
		t.Errorf("%q was said only after %v, want within %v", words, took, within)
	}
	return took
}
