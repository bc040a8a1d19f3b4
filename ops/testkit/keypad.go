package testkit

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Keypad is gatebook intercom: lines go in, decisions come out.
type Keypad struct {
	*Process
	in        *os.File
	decisions chan Decision
}

// Decision is one that the intercom printed.
type Decision struct {
	Decision  string  `json:"decision"`
	Reason    *string `json:"reason"`
	Direction *string `json:"direction"`
	CodeID    *string `json:"code_id"`
	Revision  uint64  `json:"revision"`
	Gate      *string `json:"gate"`
	TookUS    int64   `json:"took_us"`
}

// Says is the decision in one word: its reason, or open and the gate's word.
func (d Decision) Says() string {
	switch {
	case d.Reason != nil:
		return *d.Reason
	case d.Gate != nil:
		return d.Decision + " " + *d.Gate
	}
	return d.Decision
}

// KeypadConfig is what an intercom is started with.
type KeypadConfig struct {
	Intercom, Server, Creds, State string
	Flags                          []string
}

// StartKeypad runs an intercom as a process. It does not wait for the line.
func StartKeypad(t testing.TB, program string, c KeypadConfig) *Keypad {
	t.Helper()
	cmd := exec.Command(program, append([]string{
		"intercom", c.Intercom, "--server", c.Server, "--creds", c.Creds, "--state", c.State, "--log-level", "debug",
	}, c.Flags...)...)
	inRead, inWrite := pipe(t)
	outRead, outWrite := pipe(t)
	cmd.Stdin, cmd.Stdout = inRead, outWrite
	k := &Keypad{Process: startProcess(t, "intercom", cmd), in: inWrite, decisions: make(chan Decision, 64)}
	inRead.Close()
	outWrite.Close()
	t.Cleanup(func() { inWrite.Close() })
	go func() {
		defer outRead.Close()
		defer close(k.decisions)
		for d := json.NewDecoder(outRead); ; {
			var one Decision
			if d.Decode(&one) != nil {
				return
			}
			k.decisions <- one
		}
	}()
	return k
}

// Send types one line.
func (k *Keypad) Send(line string) {
	k.t.Helper()
	if _, err := fmt.Fprintln(k.in, line); err != nil {
		k.t.Fatalf("type at the keypad: %v", err)
	}
}

// Next is the next decision.
func (k *Keypad) Next() Decision {
	k.t.Helper()
	select {
	case d, ok := <-k.decisions:
		if !ok {
			k.t.Fatalf("the intercom ended without a decision; it said:\n%s", last(k.Log(), 4<<10))
		}
		return d
	case <-time.After(processWithin):
		k.t.Fatalf("no decision within %v; the intercom said:\n%s", processWithin, last(k.Log(), 4<<10))
	}
	return Decision{}
}

// Silent reports whether no decision is waiting to be read.
func (k *Keypad) Silent() bool { return len(k.decisions) == 0 }

// Try types one line and gives the decision.
func (k *Keypad) Try(line string) Decision {
	k.t.Helper()
	k.Send(line)
	return k.Next()
}

// HangUp ends the input, and returns the exit status once the intercom has ended.
func (k *Keypad) HangUp() int {
	k.t.Helper()
	k.in.Close()
	return k.Wait()
}
