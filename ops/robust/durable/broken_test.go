package durable

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"gatebook/ops/testkit"
)

// TestWithoutTheBarrierAPowerCutLoses: the same power cut under a ledger that
// does not sync before it tells. It must be seen to lose, or the test above
// would prove nothing.
func TestWithoutTheBarrierAPowerCutLoses(t *testing.T) {
	program := testkit.BrokenProgram(t, testkit.Change{
		File: "events/ledger/durable.go",
		Old:  "if err = d.sync(); err != nil {",
		New:  "if err = error(nil); err != nil {",
	})
	child := exec.Command(os.Args[0], "-test.run=^TestPowerCutsLoseNothingTold$", "-test.v", "-test.count=1")
	child.Env = append(os.Environ(), testkit.ProgramVar+"="+program, "GATEBOOK_ROBUST=")
	out, err := child.CombinedOutput()
	said := string(out)
	switch {
	case strings.Contains(said, "NO TEST VOLUME") && os.Getenv("CI") == "":
		t.Skip("NO TEST VOLUME, NOTHING WAS TESTED: see TestPowerCutsLoseNothingTold")
	case err == nil:
		t.Fatalf("a ledger without its barrier lost nothing:\n%s", said)
	case !strings.Contains(said, "LOST: "):
		t.Fatalf("the run without the barrier failed for another reason:\n%s", said)
	}
	for line := range strings.Lines(said) {
		if strings.Contains(line, "LOST: ") {
			t.Logf("without the barrier: %s", strings.TrimSpace(line))
			break
		}
	}
	t.Logf("without the barrier %d things that were told were lost", strings.Count(said, "LOST: "))
}
