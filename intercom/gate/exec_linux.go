package gate

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	execLimit = 5 * time.Second
	// reapLimit is how long a killed driver may take to vanish. One that sits in
	// the kernel (a dead serial line, a lost network disk) cannot be killed;
	// nobody waits for it at the gate.
	reapLimit = time.Second
	// drainLimit bounds the wait for output that a process outside our group
	// still holds open.
	drainLimit = 200 * time.Millisecond
	outputMost = 1 << 10
)

// execDriver starts a program for each order. It runs no shell: the words are
// fixed at start, and the order travels in the environment only.
//
// The program leads a process group of its own. When it has ended, or its time
// is over, the whole group is killed, so nothing that it started stays behind.
// (A child that makes itself leader of another session escapes this.) If we are
// killed ourselves, the kernel kills the program, though not its children: that
// request is not inherited.
type execDriver struct {
	words []string
	env   []string
	limit time.Duration
	log   *slog.Logger
}

func newExec(line string, log *slog.Logger, limit time.Duration) (Driver, error) {
	w, err := words(line)
	if err != nil {
		return nil, err
	}
	// Only a warning: the disk with the program may be mounted later, and an
	// order that cannot start it is Failed.
	if _, err := exec.LookPath(w[0]); err != nil {
		log.Warn("gate program cannot be started", slog.String("error", err.Error()))
	}
	return &execDriver{words: w, env: inherited(), limit: orDefault(limit, execLimit), log: log}, nil
}

// inherited is what a program needs to find its way, and none of the rest: our
// own environment may name credentials.
func inherited() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func (d *execDriver) Open(ctx context.Context, o Order) Outcome {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	ended := make(chan Outcome, 1) // run never waits for us
	go func() { ended <- d.run(ctx, o) }()
	select {
	case out := <-ended:
		return out
	case <-ctx.Done():
	}
	select {
	case out := <-ended:
		return out
	case <-time.After(reapLimit):
		d.log.LogAttrs(ctx, slog.LevelError, "gate program cannot be killed", o.attrs()...)
		return Timeout
	}
}

func (d *execDriver) run(ctx context.Context, o Order) Outcome {
	// The kernel sends Pdeathsig when the *thread* that started the child ends:
	// hold on to it for as long as the child lives.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var said clip
	cmd := d.command(o, &said)
	if ctx.Err() != nil {
		return d.ended(ctx, o, Failed, "not started: no time left", &said)
	}
	if err := cmd.Start(); err != nil {
		return d.ended(ctx, o, Failed, err.Error(), &said)
	}
	exited := make(chan struct{})
	go func() {
		awaitExit(cmd.Process.Pid)
		close(exited)
	}()
	select {
	case <-exited:
	case <-ctx.Done():
	}
	// The leader is not reaped yet, so its number cannot belong to anybody else:
	// this hits the program and what it left behind, or nothing.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	<-exited
	err := cmd.Wait()
	go reapOrphans(cmd.Process.Pid)
	return d.judge(ctx, o, cmd.ProcessState, err, &said)
}

func (d *execDriver) command(o Order, said *clip) *exec.Cmd {
	cmd := exec.Command(d.words[0], d.words[1:]...)
	cmd.Env = append(d.env[:len(d.env):len(d.env)],
		"GATEBOOK_DEVICE="+o.Device,
		"GATEBOOK_DIRECTION="+o.Direction,
		"GATEBOOK_ATTEMPT="+o.Attempt,
	)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = drainLimit
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// judge goes by how the program ended, not by the clock: one that exited just as
// its time ran out has said what it did. One that a signal ended has not, ours
// or anybody's: the gate may be open.
func (d *execDriver) judge(ctx context.Context, o Order, state *os.ProcessState, err error, said *clip) Outcome {
	switch {
	case state == nil:
		return d.ended(ctx, o, Timeout, err.Error(), said)
	case state.Success():
		return d.ended(ctx, o, Done, "", said)
	case state.Exited():
		return d.ended(ctx, o, Failed, state.String(), said)
	default:
		return d.ended(ctx, o, Timeout, state.String(), said)
	}
}

func (d *execDriver) ended(ctx context.Context, o Order, out Outcome, why string, said *clip) Outcome {
	if out != Done {
		d.log.LogAttrs(ctx, slog.LevelWarn, "gate not confirmed",
			o.attrs(slog.String("gate", string(out)), slog.String("error", why))...)
	}
	if len(said.kept) > 0 {
		d.log.LogAttrs(ctx, slog.LevelDebug, "gate program said",
			o.attrs(slog.String("output", strings.ToValidUTF8(string(said.kept), "?")))...)
	}
	return out
}

// awaitExit returns when the child has ended, without reaping it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// reapOrphans buries what was killed with its leader. Only where we are the
// first process of a container are these our children, and nobody else would;
// elsewhere there are none. While one of them lives the group keeps its number,
// so this cannot take another driver's child.
func reapOrphans(group int) {
	if os.Getpid() != 1 {
		return
	}
	for {
		_, err := unix.Wait4(-group, nil, 0, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// clip keeps the beginning of what a program says and lets the rest go by, so
// that a talkative one neither blocks nor fills memory.
type clip struct{ kept []byte }

func (c *clip) Write(p []byte) (int, error) {
	room := outputMost - len(c.kept)
	c.kept = append(c.kept, p[:min(room, len(p))]...)
	return len(p), nil
}
