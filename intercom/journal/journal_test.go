package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2025, 6, 1, 12, 0, 0, 123456789, time.UTC)

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func reopen(t *testing.T, j *Journal) *Journal {
	t.Helper()
	must(t, j.Close())
	return open(t, j.dir)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}

func ask(command string) Attempt {
	return Attempt{Command: command, Direction: "entry", AskedAt: noon}
}

func pending(t *testing.T, j *Journal) []Attempt {
	t.Helper()
	all, err := j.Pending()
	must(t, err)
	return all
}

func commands(all []Attempt) string {
	var s []string
	for _, a := range all {
		s = append(s, a.Command+":"+string(a.Step))
	}
	return strings.Join(s, " ")
}

func TestStepsSurviveReopening(t *testing.T) {
	j := open(t, t.TempDir())
	must(t, j.Ask(Attempt{Command: "C1", Direction: "exit", AskedAt: noon, Step: Told, Gate: "done", CodeID: "X"}))
	j = reopen(t, j)
	first := Attempt{Sequence: 1, Command: "C1", Direction: "exit", AskedAt: noon, Step: Asked}
	if got := pending(t, j); !slices.Equal(got, []Attempt{first}) {
		t.Fatalf("after Ask: %+v", got)
	}
	must(t, j.Opening("C1", "E1", "K1", "back"))
	j = reopen(t, j)
	got := pending(t, j)[0]
	if got.Step != Opening || got.Event != "E1" || got.CodeID != "K1" || got.Device != "back" || got.OpenedAt.IsZero() || got.Gate != "" {
		t.Fatalf("after Opening: %+v", got)
	}
	must(t, j.Told("C1", "timeout"))
	j = reopen(t, j)
	if got := pending(t, j)[0]; got.Step != Told || got.Gate != "timeout" || got.CodeID != "K1" || !got.AskedAt.Equal(noon) {
		t.Fatalf("after Told: %+v", got)
	}
	must(t, j.Settle("C1"))
	must(t, j.Settle("C1")) // once more, as after a crash
	j = reopen(t, j)
	if got := pending(t, j); len(got) != 0 {
		t.Fatalf("after Settle: %+v", got)
	}
	must(t, j.Ask(ask("C2")))
	if n := pending(t, j)[0].Sequence; n != 2 {
		t.Fatalf("sequence %d was used twice", n)
	}
}

func TestStepsGoForwardOnly(t *testing.T) {
	j := open(t, t.TempDir())
	want(t, j.Opening("C1", "E", "K", "d"), ErrNotPending)
	want(t, j.Told("C1", "done"), ErrNotPending)
	must(t, j.Ask(ask("C1")))
	want(t, j.Ask(ask("C1")), ErrStep)
	want(t, j.Told("C1", "done"), ErrStep)
	must(t, j.Opening("C1", "E", "K", "d"))
	want(t, j.Opening("C1", "E", "K", "d"), ErrStep) // or the gate would be told twice
	want(t, j.Ask(ask("C1")), ErrStep)
	must(t, j.Told("C1", "failed"))
	want(t, j.Told("C1", "done"), ErrStep)
	if got := pending(t, j); len(got) != 1 || got[0].Gate != "failed" {
		t.Fatalf("kept %+v", got)
	}
}

func TestPendingIsInTheOrderOfAsking(t *testing.T) {
	j := open(t, t.TempDir())
	for i, c := range []string{"Z", "A", "M", "B"} {
		a := ask(c)
		a.AskedAt = noon.Add(-time.Duration(i) * time.Hour) // the wall clock goes back
		must(t, j.Ask(a))
	}
	must(t, j.Opening("M", "", "K", "d")) // by grace: no event
	if got := commands(pending(t, j)); got != "Z:asked A:asked M:opening B:asked" {
		t.Fatal(got)
	}
}

func TestOldestAskedMakesRoom(t *testing.T) {
	j := open(t, t.TempDir())
	j.most = 3
	for _, c := range []string{"C1", "C2", "C3"} {
		must(t, j.Ask(ask(c)))
	}
	must(t, j.Opening("C1", "E", "K", "d"))
	must(t, j.Ask(ask("C4")))
	if got := commands(pending(t, j)); got != "C1:opening C3:asked C4:asked" {
		t.Fatal(got)
	}
	must(t, j.Opening("C3", "E", "K", "d"))
	must(t, j.Opening("C4", "E", "K", "d"))
	want(t, j.Ask(ask("C5")), ErrFull)
	j = reopen(t, j)
	if n, err := j.Dropped(); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v; want 1", n, err)
	}
	if got := commands(pending(t, j)); got != "C1:opening C3:opening C4:opening" {
		t.Fatal(got)
	}
}

func TestMalformedIsNotKept(t *testing.T) {
	j := open(t, t.TempDir())
	long := strings.Repeat("x", 65)
	for _, a := range []Attempt{
		{},
		{Command: "C", Direction: "entry"},
		{Command: "C", Direction: "in", AskedAt: noon},
		{Command: "a b", Direction: "entry", AskedAt: noon},
		{Command: long, Direction: "entry", AskedAt: noon},
	} {
		want(t, j.Ask(a), ErrMalformed)
	}
	must(t, j.Ask(ask("C")))
	want(t, j.Opening("C", long, "K", "d"), ErrMalformed)
	want(t, j.Opening("C", "E", "", "d"), ErrMalformed)
	must(t, j.Opening("C", "E", "K", "d"))
	want(t, j.Told("C", "perhaps"), ErrMalformed)
	want(t, j.Tombstone("", noon), ErrMalformed)
	if got := commands(pending(t, j)); got != "C:opening" {
		t.Fatal(got)
	}
}

func TestTable(t *testing.T) {
	j := open(t, t.TempDir())
	if raw, err := j.LoadTable(); len(raw) != 0 || err != nil {
		t.Fatalf("before the first: %q, %v", raw, err)
	}
	for _, table := range []string{"one", "", strings.Repeat("large ", 100_000), "two"} {
		must(t, j.SaveTable([]byte(table)))
		j = reopen(t, j)
		if raw, err := j.LoadTable(); string(raw) != table || err != nil {
			t.Fatalf("%d bytes came back as %d, %v", len(table), len(raw), err)
		}
	}
	if err := j.SaveTable(make([]byte, tableMost+1)); err == nil {
		t.Fatal("a table without bound was kept")
	}
}

func TestTombstones(t *testing.T) {
	j := open(t, t.TempDir())
	must(t, j.Tombstone("K1", noon))
	must(t, j.Tombstone("K2", noon.Add(time.Hour)))
	must(t, j.Tombstone("K1", noon.Add(time.Minute)))
	j = reopen(t, j)
	all, err := j.Tombstones()
	if err != nil || len(all) != 2 || !all["K1"].Equal(noon) || !all["K2"].Equal(noon.Add(time.Hour)) {
		t.Fatalf("%v, %v", all, err)
	}
	must(t, j.Forget("K1"))
	must(t, j.Forget("K1"))
	if all, err := j.Tombstones(); err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
}

func TestIdentity(t *testing.T) {
	j := open(t, t.TempDir())
	must(t, j.Identity("north"))
	must(t, j.Identity("north"))
	j = reopen(t, j)
	err := j.Identity("south")
	want(t, err, ErrIdentity)
	for _, name := range []string{"north", "south", j.dir} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	must(t, j.Identity("north"))
	if j.Identity("") == nil {
		t.Fatal("an empty id was taken")
	}
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	open(t, dir)
	for path, mode := range map[string]os.FileMode{
		dir: 0o700, filepath.Join(dir, fileName): 0o600, filepath.Join(dir, lockName): 0o600,
	} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s: %s, want %s", path, info.Mode(), mode)
		}
	}
}

// TestCrashWhileMaking: what a crash left under the other name is not mistaken
// for a journal.
func TestCrashWhileMaking(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, fileName+".new"), []byte("half"), 0o600))
	j := open(t, dir)
	must(t, j.Ask(ask("C")))
	if _, err := os.Stat(j.path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left over: %v", err)
	}
}

func TestClosed(t *testing.T) {
	j := open(t, t.TempDir())
	must(t, j.Close())
	must(t, j.Close())
	want(t, j.Ask(ask("C")), ErrClosed)
	_, err := j.Pending()
	want(t, err, ErrClosed)
}

func TestConcurrentUse(t *testing.T) {
	j := open(t, t.TempDir())
	done := make(chan error)
	const callers = 8
	for i := range callers {
		go func() {
			c := fmt.Sprintf("C%d", i)
			_, err := j.Pending()
			done <- errors.Join(err, j.Ask(ask(c)), j.Opening(c, "E", "K", "d"), j.Told(c, "done"), j.Settle(c))
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := pending(t, j); len(got) != 0 {
		t.Fatalf("left: %+v", got)
	}
}
