package journal

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// childRole makes the test binary play an intercom; its value is what it does.
const childRole = "JOURNAL_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		play(role, os.Args[1])
		return
	}
	os.Exit(m.Run())
}

// play says each step once it is on disk, and waits there for its end.
func play(role, dir string) {
	j, err := Open(dir)
	if err != nil {
		panic(err)
	}
	if role == "busy" {
		playBusy(j)
	}
	for _, step := range strings.Fields(role) {
		if err := take(j, "C1", step); err != nil {
			panic(err)
		}
	}
	fmt.Println("ready")
	<-time.After(time.Minute) // unless ended before
}

func playBusy(j *Journal) {
	for i := 0; ; i++ {
		c := fmt.Sprintf("P%d-%d", os.Getpid(), i)
		for _, step := range []string{"ask", "open", "tell", "settle"} {
			if err := take(j, c, step); err != nil {
				panic(err)
			}
			fmt.Println(c, step)
		}
	}
}

func take(j *Journal, command, step string) error {
	switch step {
	case "ask":
		return j.Ask(ask(command))
	case "open":
		return j.Opening(command, "E1", "K1", "front")
	case "tell":
		return j.Told(command, "done")
	case "settle":
		return j.Settle(command)
	}
	return nil
}

func start(t *testing.T, role, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

func TestKilledBetweenSteps(t *testing.T) {
	for role, left := range map[string]string{
		"nothing":              "",
		"ask":                  "C1:asked",
		"ask open":             "C1:opening",
		"ask open tell":        "C1:told",
		"ask open tell settle": "",
	} {
		t.Run(role, func(t *testing.T) {
			dir := t.TempDir()
			child, lines := start(t, role, dir)
			if !lines.Scan() || lines.Text() != "ready" {
				t.Fatalf("the child said %q", lines.Text())
			}
			must(t, child.Process.Kill())
			_ = child.Wait()
			if got := commands(pending(t, open(t, dir))); got != left {
				t.Fatalf("kept %q, want %q", got, left)
			}
		})
	}
}

// TestKilledAtAnyMoment kills a busy process again and again on one folder. What
// was said is there; of what was not said, at most the one next step.
func TestKilledAtAnyMoment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	for round := range 8 {
		child, lines := start(t, "busy", dir)
		for range 1 + random.IntN(30) {
			if !lines.Scan() {
				t.Fatal("the child ended")
			}
		}
		must(t, child.Process.Kill())
		last := lines.Text()
		for lines.Scan() { // what it still said before it died
			if strings.Count(lines.Text(), " ") == 1 {
				last = lines.Text()
			}
		}
		_ = child.Wait()
		command, step, _ := strings.Cut(last, " ")
		j := open(t, dir)
		if got := commands(pending(t, j)); !follows(got, command, step) {
			t.Fatalf("round %d: said %q, kept %q", round, last, got)
		}
		for _, a := range pending(t, j) {
			must(t, j.Settle(a.Command))
		}
		must(t, j.Close())
	}
}

// follows: kept is what the step said last leaves, or the step after it.
func follows(kept, command, step string) bool {
	switch step {
	case "ask":
		return kept == command+":asked" || kept == command+":opening"
	case "open":
		return kept == command+":opening" || kept == command+":told"
	case "tell":
		return kept == command+":told" || kept == ""
	default: // settled; the next command may have begun
		return kept == "" || strings.HasSuffix(kept, ":asked") && strings.Count(kept, " ") == 0
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	child, lines := start(t, "ask", dir)
	if !lines.Scan() {
		t.Fatal("the child ended")
	}
	begin := time.Now()
	_, err := Open(dir)
	want(t, err, ErrInUse)
	if took := time.Since(begin); took > time.Second || !strings.Contains(err.Error(), dir) {
		t.Errorf("after %s: %v", took, err)
	}
	must(t, child.Process.Kill())
	_ = child.Wait()
	j := open(t, dir)
	_, err = Open(dir) // nor twice in one process
	want(t, err, ErrInUse)
	if got := commands(pending(t, j)); got != "C1:asked" {
		t.Fatal(got)
	}
}
