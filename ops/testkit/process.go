package testkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// processWithin bounds what a process is waited for: to be ready, to answer,
	// to stop, to end.
	processWithin = 20 * time.Second
	// stopState is how /proc shows a stopped process.
	stopState = "T"
)

// Process is gatebook running as a process of its own. What it says on standard
// error is kept in a file outside of its data. It is killed when the test ends.
// Its methods fail the test themselves and must be called from the goroutine
// that runs it, except Done and Log.
type Process struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // what Wait said; good once done is closed
}

func startProcess(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, log: filepath.Join(t.TempDir(), name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	// A test that is killed takes its processes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has mostly ended already
		<-p.done
		if t.Failed() {
			t.Logf("%s (process %d) ended with %v and had said:\n%s", name, cmd.Process.Pid, p.err, last(p.Log(), 8<<10))
		}
	})
	return p
}

// last is the end of a long text.
func last(s string, most int) string {
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is what the process has said on standard error so far.
func (p *Process) Log() string {
	said, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("the log cannot be read: %v", err)
	}
	return string(said)
}

// Kill ends the process as kill -9 does, and returns when it is no more.
func (p *Process) Kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.Wait()
}

// Terminate asks the process to stop, and returns its exit status.
func (p *Process) Terminate() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.Wait()
}

// Stop halts the process in the middle of what it does, and returns when it has.
func (p *Process) Stop() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	Eventually(p.t, processWithin, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(rest, stopState) {
			return fmt.Errorf("the process is in state %.1s", rest)
		}
		return nil
	})
}

// Continue lets a stopped process go on.
func (p *Process) Continue() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("send %v to process %d: %v", s, p.PID(), err)
	}
}

// Wait returns when the process has ended, with its exit status; -1 where a
// signal ended it.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(processWithin):
		p.t.Fatalf("process %d has not ended within %v", p.PID(), processWithin)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Server is gatebook serve.
type Server struct {
	*Process
	Dir string
	// NATS and HTTP are where it is reached, as its ready line says.
	NATS, HTTP string

	program string
}

// StartServer runs gatebook serve on dir and returns when it is ready. It
// listens on free ports unless flags name one with --nats-listen.
func StartServer(t testing.TB, program, dir string, flags ...string) *Server {
	t.Helper()
	s, err := TryServer(t, program, dir, flags...)
	if err != nil {
		t.Fatalf("%v; it said:\n%s", err, last(s.Log(), 8<<10))
	}
	return s
}

// TryServer is StartServer for a ledger that may refuse to serve: then the error
// says so, and the process has ended.
func TryServer(t testing.TB, program, dir string, flags ...string) (*Server, error) {
	t.Helper()
	args := []string{"serve", "--json", "--data", dir, "--http", "127.0.0.1:0"}
	if !slices.Contains(flags, "--nats-listen") {
		args = append(args, "--nats-listen", "127.0.0.1:0")
	}
	cmd := exec.Command(program, append(args, flags...)...)
	out, w := pipe(t)
	cmd.Stdout = w
	s := &Server{Process: startProcess(t, "serve", cmd), Dir: dir, program: program}
	w.Close()
	ready := make(chan error, 1)
	go func() {
		ready <- json.NewDecoder(out).Decode(&struct{ NATS, HTTP *string }{&s.NATS, &s.HTTP})
		_, _ = io.Copy(io.Discard, out)
		out.Close()
	}()
	select {
	case err := <-ready:
		if err != nil {
			s.Wait()
			return s, fmt.Errorf("gatebook serve ended with %v before it was ready", s.err)
		}
	case <-time.After(processWithin):
		t.Fatalf("gatebook serve is not ready after %v; it said:\n%s", processWithin, last(s.Log(), 8<<10))
	}
	return s, nil
}

// Again starts the server anew on its folder and its address, once it has ended.
func (s *Server) Again(flags ...string) *Server {
	s.t.Helper()
	return StartServer(s.t, s.program, s.Dir, append([]string{"--nats-listen", s.Address()}, flags...)...)
}

// Address is where NATS clients connect, as host:port.
func (s *Server) Address() string { return strings.TrimPrefix(s.NATS, "nats://") }

// pipe is one that the parent reads, and whose end the process has alone.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// Result is what a command of the command line came to.
type Result struct {
	Status   int
	Out, Err []byte
}

// Refusal is the code in what the command said on standard error.
func (r Result) Refusal() string {
	var said struct{ Error struct{ Code string } }
	_ = json.Unmarshal(r.Err, &said) // no refusal then
	return said.Error.Code
}

// Run runs one command on the server's folder and waits for its end. It may be
// called from any goroutine.
func (s *Server) Run(args ...string) Result {
	cmd := exec.Command(s.program, append(args, "--json", "--data", s.Dir)...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	status := cmd.ProcessState.ExitCode()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		said.WriteString(err.Error())
	}
	return Result{status, []byte(out.String()), []byte(said.String())}
}

// Do runs one command that must be done, and reads what it prints into answer
// unless that is nil.
func (s *Server) Do(answer any, args ...string) {
	s.t.Helper()
	r := s.Run(args...)
	if r.Status != 0 {
		s.t.Fatalf("gatebook %s: exit status %d: %s", strings.Join(args, " "), r.Status, r.Err)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(r.Out, answer); err != nil {
		s.t.Fatalf("gatebook %s: %v in %s", strings.Join(args, " "), err, r.Out)
	}
}
