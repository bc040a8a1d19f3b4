package gate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childRole makes the test binary play another part; its value is the part.
const childRole = "GATE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "intercom":
		playIntercom()
	case "first":
		playFirst()
	default:
		os.Exit(m.Run())
	}
}

// playIntercom opens by the given program until it is killed.
func playIntercom() {
	d, err := Parse(os.Args[1], slog.New(slog.DiscardHandler), time.Hour)
	if err != nil {
		panic(err)
	}
	d.Open(context.Background(), order)
}

// playFirst is process 1: it opens, then says whether a dead child is left over.
func playFirst() {
	d, err := Parse(os.Args[1], slog.New(slog.DiscardHandler), time.Minute)
	if err != nil {
		panic(err)
	}
	fmt.Println(os.Getpid(), d.Open(context.Background(), order))
	late := time.After(10 * time.Second)
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.ECHILD) {
			fmt.Println("none left")
			return
		}
		select {
		case <-late:
			fmt.Println("a child is left")
			return
		case <-time.Tick(time.Millisecond):
		}
	}
}

// pipe is a named pipe; what a program writes there is read as it comes.
func pipe(t *testing.T) (path string, pids func(n int) []int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pids")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for both, so that neither end waits for the other.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	lines := bufio.NewScanner(f)
	return path, func(n int) []int {
		var out []int
		for range n {
			if !lines.Scan() {
				t.Errorf("no pid: %v", lines.Err())
				return out
			}
			pid, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Error(err)
			}
			out = append(out, pid)
		}
		return out
	}
}

// gone waits until the process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n != 1 {
			t.Errorf("process %d lives on: %v", pid, err)
		}
		return
	}
}

func TestExecOutcome(t *testing.T) {
	for spec, want := range map[string]Outcome{
		`exec:true`:                     Done,
		`exec:false`:                    Failed,
		`exec:sh -c 'exit 7'`:           Failed,
		`exec:/nonexistent/program`:     Failed,
		`exec:/etc/hostname`:            Failed, // not executable
		`exec:sh -c "kill -9 $$"`:       Timeout,
		`exec:sh -c 'test -t 0 || cat'`: Done, // standard input is empty, not ours
	} {
		if out := parse(t, spec).Open(t.Context(), order); out != want {
			t.Errorf("%s: %s, want %s", spec, out, want)
		}
	}
	if out := parse(t, "exec:true").Open(t.Context(), Order{Device: "a\x00b"}); out != Failed {
		t.Errorf("an order that cannot be handed over: %s, want failed", out)
	}
}

func TestExecCalledOffBeforeStart(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := parse(t, "exec:touch "+mark).Open(ctx, order); out == Done {
		t.Fatal("done, and nothing may have run")
	}
}

func TestExecSeesOnlyTheOrder(t *testing.T) {
	t.Setenv("GATEBOOK_CREDS", "/secret/file")
	file := filepath.Join(t.TempDir(), "env")
	spec := fmt.Sprintf(`exec:sh -c 'printf "%%s\n" "$#" "$1" > "$0"; env >> "$0"' %s '$HOME;x'`, file)
	if out := parse(t, spec).Open(t.Context(), order); out != Done {
		t.Fatalf("outcome %s, want done", out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	for _, want := range []string{
		"1\n$HOME;x\n", "GATEBOOK_DEVICE=front\n", "GATEBOOK_DIRECTION=entry\n",
		"GATEBOOK_ATTEMPT=" + order.Attempt + "\n", "PATH=" + os.Getenv("PATH") + "\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "GATEBOOK_CREDS") {
		t.Errorf("the program was handed our environment:\n%s", got)
	}
}

func TestExecOutputIsBounded(t *testing.T) {
	log, said := newLog()
	d, err := Parse(`exec:sh -c 'echo begin >&2; head -c 1000000 /dev/zero | tr "\0" x; exit 3'`, log, 0)
	if err != nil {
		t.Fatal(err)
	}
	if out := d.Open(t.Context(), order); out != Failed {
		t.Fatalf("outcome %s, want failed", out)
	}
	got := said.String()
	if !strings.Contains(got, "begin") || !strings.Contains(got, "exit status 3") || !strings.Contains(got, "level=DEBUG") {
		t.Errorf("the log lacks what was said: %.200s", got)
	}
	if n := strings.Count(got, "xxxx"); n*4 > outputMost {
		t.Errorf("%d bytes of output were logged", n*4)
	}
}

func TestExecKeepsItsLimit(t *testing.T) {
	d, err := Parse("exec:sleep 3600", quiet(), 10*short)
	if err != nil {
		t.Fatal(err)
	}
	if out := d.Open(t.Context(), order); out != Timeout {
		t.Fatalf("outcome %s, want timeout", out)
	}
}

// TestExecHangTakesTheGroup: program, child and grandchild are gone, though the
// grandchild holds the output open and ignores what can be ignored.
func TestExecHangTakesTheGroup(t *testing.T) {
	path, pids := pipe(t)
	spec := fmt.Sprintf(`exec:sh -c '(trap "" TERM HUP INT; echo $$ > %[1]s; sleep 3600 & echo $! > %[1]s; wait) & echo $! > %[1]s; wait'`, path)
	d, err := Parse(spec, quiet(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var family []int
	go func() {
		family = pids(3)
		cancel()
	}()
	if out := d.Open(ctx, order); out != Timeout {
		t.Errorf("outcome %s, want timeout", out)
	}
	for _, pid := range family {
		gone(t, pid)
	}
}

func TestExecLeavesNothingBehind(t *testing.T) {
	for exit, want := range map[string]Outcome{"0": Done, "1": Failed} {
		path, pids := pipe(t)
		spec := fmt.Sprintf(`exec:sh -c 'sleep 3600 & echo $! > %s; exit %s'`, path, exit)
		d, err := Parse(spec, quiet(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if out := d.Open(t.Context(), order); out != want {
			t.Errorf("exit %s: %s, want %s", exit, out, want)
		}
		for _, pid := range pids(1) {
			gone(t, pid)
		}
	}
}

// TestExecDetachedHolder: a child that left the group and holds the output open
// costs a moment, not the outcome.
func TestExecDetachedHolder(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		cannot(t, err)
	}
	path, pids := pipe(t)
	detached := filepath.Join(t.TempDir(), "detached")
	if err := unix.Mkfifo(detached, 0o600); err != nil {
		t.Fatal(err)
	}
	spec := fmt.Sprintf(`exec:sh -c 'setsid sh -c "echo \$\$ > %[1]s; exec sleep 3600" & read p < %[1]s; echo $p > %[2]s'`, detached, path)
	d, err := Parse(spec, quiet(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if out := d.Open(t.Context(), order); out != Done {
		t.Errorf("outcome %s, want done", out)
	}
	for _, pid := range pids(1) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Errorf("the detached child %d: %v", pid, err)
		}
	}
}

// TestExecDiesWithUs: kill -9 of the intercom takes the program along.
func TestExecDiesWithUs(t *testing.T) {
	path, pids := pipe(t)
	us := exec.Command(os.Args[0], fmt.Sprintf(`exec:sh -c 'echo $$ > %s; exec sleep 3600'`, path))
	us.Env = append(os.Environ(), childRole+"=intercom")
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	program := pids(1)
	if err := us.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = us.Wait()
	for _, pid := range program {
		gone(t, pid)
	}
}

// TestExecAsFirstProcess: alone in a container we are everybody's parent, and
// what was killed is buried.
func TestExecAsFirstProcess(t *testing.T) {
	first := exec.Command(os.Args[0], `exec:sh -c 'sleep 3600 & sleep 3600 & exit 0'`)
	first.Env = append(os.Environ(), childRole+"=first")
	first.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := first.Output()
	if errors.Is(err, os.ErrPermission) {
		cannot(t, err)
	}
	if err != nil || string(out) != "1 done\nnone left\n" {
		t.Fatalf("%v: %s", err, out)
	}
}

// cannot ends a test that this machine cannot run, loudly where nothing may be
// left out.
func cannot(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("skipped where CI is set: %v", err)
	}
	t.Skip(err)
}
