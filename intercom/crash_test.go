package intercom_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/intercom"
	"gatebook/intercom/gate"
	"gatebook/intercom/journal"
	"gatebook/ops/testkit"
	"gatebook/projections"
)

// child says to a copy of this test program what to be instead.
const child = "GATEBOOK_TEST_INTERCOM"

type childConfig struct{ URL, Dir, Gate, File string }

func TestMain(m *testing.M) {
	if raw := os.Getenv(child); raw != "" {
		if err := beIntercom([]byte(raw)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func beIntercom(raw []byte) error {
	var c childConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	creds, err := intercom.ParseCredentials([]byte(c.File))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	gates, err := gate.ParseGates([]string{front + "=" + c.Gate, back + "=" + c.Gate}, log, 0)
	if err != nil {
		return err
	}
	i, err := intercom.Start(context.Background(), intercom.Config{URL: c.URL, Credentials: creds, StateDir: c.Dir, Gates: gates, Log: log})
	if err != nil {
		return err
	}
	defer i.Close()
	return i.Serve(context.Background(), os.Stdin, os.Stdout)
}

// process is an intercom in a process of its own.
type process struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func (r *rig) spawn() *process {
	r.t.Helper()
	raw, err := json.Marshal(childConfig{URL: r.url, Dir: r.dir, Gate: r.gate.url, File: string(r.file)})
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"="+string(raw))
	cmd.Stderr = r.log
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &process{cmd: cmd, in: in, out: bufio.NewReader(out)}
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }

// ended waits until the process has died without having said a decision.
func (p *process) ended(t testing.TB) {
	t.Helper()
	if line, err := p.out.ReadString('\n'); err == nil {
		t.Errorf("it still decided: %s", line)
	}
	_ = p.cmd.Wait()
}

// The process is killed between the steps of one attempt. The next one neither
// opens anything nor lets the ledger wait for how it ended.
func TestKilledBetweenSteps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		// arm has the process killed at the step.
		arm      func(*rig, *process)
		step     journal.Step
		told     int    // orders that the gate was given
		reported string // what the next process reports
		back     bool   // the code can be used again
	}{
		{
			name: "asked, not recorded",
			arm: func(r *rig, p *process) {
				r.ledger.dumb, r.ledger.gotUse = true, func(commands.UseRequest) { p.kill() }
			},
			step: journal.Asked, reported: events.GateFailed, back: true,
		},
		{
			name: "asked, recorded",
			arm:  func(r *rig, p *process) { r.ledger.useDone = func(commands.UseRequest) { p.kill() } },
			step: journal.Asked, reported: events.GateFailed, back: true,
		},
		{
			name: "opening",
			arm:  func(r *rig, p *process) { r.gate.set(func() { r.gate.onTold = p.kill }) },
			step: journal.Opening, told: 1, reported: events.GateTimeout,
		},
		{
			name: "told",
			arm: func(r *rig, p *process) {
				r.gate.set(func() { r.gate.status = http.StatusBadGateway })
				r.ledger.gotFailed = p.kill
			},
			step: journal.Told, told: 1, reported: events.GateFailed, back: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			active(r)
			p := r.spawn()
			testkit.Eventually(t, soon, func() error { return r.ledger.hasReceipt(2) })
			r.ledger.set(func() { tt.arm(r, p) })
			if _, err := io.WriteString(p.in, "4711\n"); err != nil {
				t.Fatal(err)
			}
			p.ended(t)
			wantStep(t, r.dir, tt.step)

			r.ledger.set(func() {
				r.ledger.dumb, r.ledger.reports = false, nil
				r.ledger.gotUse, r.ledger.useDone = func(commands.UseRequest) {}, func(commands.UseRequest) {}
				r.ledger.gotFailed = func() {}
			})
			r.gate.set(func() { r.gate.status, r.gate.onTold = http.StatusOK, func() {} })
			i := r.start()
			testkit.Eventually(t, soon, func() error { return r.ledger.hasReport(tt.reported) })
			if n := len(r.gate.told()); n != tt.told {
				t.Errorf("the gate was told %d times, want %d", n, tt.told)
			}
			r.level(i)
			d := try(i, "entry 4711")
			if tt.back {
				wantOpen(t, d, projections.Entry, gate.Done)
			} else {
				wantReject(t, d, projections.WrongDirection)
			}
		})
	}
}

func wantStep(t testing.TB, dir string, want journal.Step) {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	left, err := j.Pending()
	if err != nil || len(left) != 1 || left[0].Step != want {
		t.Fatalf("pending %+v, %v; want one at %s", left, err, want)
	}
}

// A revoke that was applied is on disk before its receipt.
func TestTombstoneIsOnDiskBeforeTheReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ledger.configure(nil)
	id := r.ledger.issue("4711", time.Hour)
	p := r.spawn()
	testkit.Eventually(t, soon, func() error { return r.ledger.hasReceipt(2) })
	r.ledger.set(func() { r.ledger.gotReceipt = p.kill })
	r.ledger.revoke(id)
	p.ended(t)
	j, err := journal.Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if tombs, err := j.Tombstones(); err != nil || tombs[id].IsZero() {
		t.Errorf("tombstones %v, %v", tombs, err)
	}
}
