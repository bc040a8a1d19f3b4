package secrets

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"gatebook/ops/testkit"
)

// TestALeakIsFound runs the search on a ledger that logs whom a code is for, and
// on one that writes the digits into an event. Both must be found, or the search
// would prove nothing.
func TestALeakIsFound(t *testing.T) {
	for what, c := range map[string]struct {
		change testkit.Change
		says   string
	}{
		"a log line": {testkit.Change{
			File: "commands/service/issue.go",
			Old:  "	room := s.room(m.Intercom)\n	draft :=",
			New:  "	room := s.room(m.Intercom)\n	s.Log.Debug(\"a code is asked for\", \"name\", r.Name)\n	draft :=",
		}, "the name is in the log of serve as "},
		"an event's field": {testkit.Change{
			File: "commands/service/issue.go",
			Old:  "	d.room.putGuest(d.id, guest)\n",
			New:  "	d.room.putGuest(d.id, guest)\n	d.meta.Via = digits\n",
		}, " stand 1 times in live subjects"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0], "-test.run=^TestNamesNumbersAndDigitsAreNowhere$", "-test.v", "-test.count=1")
			child.Env = append(os.Environ(), testkit.ProgramVar+"="+testkit.BrokenProgram(t, c.change), "GATEBOOK_ROBUST=")
			out, err := child.CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.says) {
				t.Errorf("the leak is not found (%v):\n%s", err, out)
			}
		})
	}
}
