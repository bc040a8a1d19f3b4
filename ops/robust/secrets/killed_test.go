package secrets

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events/seal"
	"gatebook/ops/testkit"
)

// destroyVar names the folder whose keys TestDestroyUntilKilled destroys, and
// codesVar the codes, separated by commas.
const (
	destroyVar = "GATEBOOK_DESTROY_IN"
	codesVar   = "GATEBOOK_DESTROY"
)

// TestDestroyUntilKilled is the process that TestKilledInsideDestroy kills.
func TestDestroyUntilKilled(t *testing.T) {
	dir := os.Getenv(destroyVar)
	if dir == "" {
		t.Skip("this is a part of TestKilledInsideDestroy")
	}
	_, keys := open(t, dir)
	fmt.Println("begin")
	for _, code := range strings.Split(os.Getenv(codesVar), ",") {
		if err := keys.Destroy(t.Context(), code); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledInsideDestroy: a process is killed while it destroys keys. Once the
// ledger has been started again, a key that no reader finds is in no file
// either.
func TestKilledInsideDestroy(t *testing.T) {
	s := newStory(t)
	for range 30 {
		s.issue()
	}
	s.server.Terminate()
	var codes []string
	for _, g := range s.guests {
		codes = append(codes, g.id)
	}
	kills, destroyed, left := testkit.Sized(6, 40), 0, 0
	for range kills {
		dir := copied(t, s.dir)
		s.killed(dir, codes)
		for _, code := range s.forgotten(dir) {
			destroyed++
			if in := wrappedIn(t, dir, code); in != "" {
				left++
				t.Logf("the key of %s is gone for every reader, and its bytes are in %s", code, in)
			}
		}
	}
	t.Logf("%d kills, %d keys that no reader finds, %d of them left in the files", kills, destroyed, left)
	if left > 0 {
		t.Errorf("%d destroyed keys open with the data folder still", left)
	}
}

// killed destroys keys in another process and kills that at some instant.
func (s *story) killed(dir string, codes []string) {
	s.t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestDestroyUntilKilled$", "-test.v")
	child.Env = append(os.Environ(), destroyVar+"="+dir, codesVar+"="+strings.Join(codes, ","))
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "begin"; {
	}
	time.Sleep(time.Duration(s.rnd.Int64N(int64(20 * time.Millisecond)))) // the fault: an instant, not a wait
	_ = child.Process.Kill()                                              // it may have ended
	_ = child.Wait()                                                      // it was killed
}

// forgotten starts the ledger, kills it, and tells which codes nobody can read.
func (s *story) forgotten(dir string) (codes []string) {
	s.t.Helper()
	server := testkit.StartServer(s.t, s.program, dir)
	defer server.Kill()
	var a commands.ListAnswer
	server.Do(&a, "list", gate)
	for _, c := range a.Codes {
		if c.Recipient == nil {
			codes = append(codes, c.ID)
		}
	}
	return codes
}

// wrappedIn is the file that has the code's key, wrapped by the master key.
func wrappedIn(t *testing.T, dir, code string) string {
	t.Helper()
	master, err := seal.LoadMaster(dir+"/master.key", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range folder(t, "data", dir) {
		for i := 0; i+wrappedSize <= len(h.data); i++ {
			if h.data[i] != 1 {
				continue
			}
			if _, err := master.Unwrap(code, h.data[i:i+wrappedSize]); err == nil {
				return h.name
			}
		}
	}
	return ""
}
