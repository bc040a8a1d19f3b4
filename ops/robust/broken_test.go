package robust_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatebook/ops/robust/broken"
	"gatebook/ops/testkit"
)

// brokenFor is how long a ledger with a broken mechanism may race before it must
// have been caught.
const brokenFor = 10 * time.Second

// TestBrokenFence: with two spellings of the fence on three replicas, the racing
// test goes red within ten seconds of racing.
func TestBrokenFence(t *testing.T) {
	run := build(t, broken.Fence, ".")
	draw := rand.New(rand.NewPCG(testkit.Seed(t), 0))
	for i := range testkit.Sized(1, 5) {
		s := draw.Uint64()
		out, err := run(t, "^TestRacingCluster$", fmt.Sprintf("GATEBOOK_SEED=%d", s), "GATEBOOK_RACE_FOR="+brokenFor.String())
		goesRed(t, out, err, "--- FAIL: TestRacingCluster", "breaks law 6")
		t.Logf("%d: GATEBOOK_SEED=%d went red: %s", i+1, s, lineWith(out, "breaks law 6"))
	}
}

// TestBrokenBarrier: with a barrier that nobody shares, the barrier test goes red.
func TestBrokenBarrier(t *testing.T) {
	run := build(t, broken.Barrier, ".")
	out, err := run(t, "^TestBarrierIsShared$")
	goesRed(t, out, err, "--- FAIL: TestBarrierIsShared", "one sync for")
	t.Logf("went red: %s", lineWith(out, "one sync for"))
}

// TestBrokenChain: a verifier that does not hold each event against the one
// before it does not name the edited one.
func TestBrokenChain(t *testing.T) {
	run := build(t, broken.Chain, "../verify")
	out, err := run(t, "^TestEditedEvent$")
	goesRed(t, out, err, "--- FAIL: TestEditedEvent")
}

// runner runs one test of the broken program and returns what it printed.
type runner func(t *testing.T, name string, env ...string) (string, error)

// build compiles a package's tests with one mechanism broken.
func build(t *testing.T, b broken.Break, in string) runner {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay, err := b.Overlay(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "broken.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-c", "-o", program, in).CombinedOutput(); err != nil {
		t.Fatalf("build with -overlay: %v\n%s", err, out)
	}
	return func(t *testing.T, name string, env ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "-test.v", "-test.run", name, "-test.timeout", "4m")
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GATEBOOK_ROBUST=")
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

// goesRed demands that a run failed, and for the reason that it must fail for.
func goesRed(t *testing.T, out string, err error, want ...string) {
	t.Helper()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		t.Fatalf("the broken run did not go red: %v\n%s", err, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Fatalf("the broken run went red without %q:\n%s", w, out)
		}
	}
}

func lineWith(out, what string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, what) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// TestBreaksFit: each break still finds the line that it breaks.
func TestBreaksFit(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []broken.Break{broken.Fence, broken.Barrier, broken.Chain} {
		if _, err := b.Overlay(root, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
	moved := broken.Fence
	moved.Line += " // moved"
	if _, err := moved.Overlay(root, t.TempDir()); err == nil || !strings.Contains(err.Error(), "change the break") {
		t.Errorf("a line that is not there gave %v", err)
	}
}
