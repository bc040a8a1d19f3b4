package testkit

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// ProgramVar names the program to test in place of one that is built: how a
// test runs itself again against a program that it broke on purpose.
const ProgramVar = "GATEBOOK_PROGRAM"

// built is the program of this test run. It is built when it is first asked for
// and removed by Main.
var built struct {
	once sync.Once
	path string
	err  error
}

// Main runs a package's tests and removes the program that they built. A
// package that calls Program has a TestMain that calls it.
func Main(m *testing.M) int {
	defer func() {
		if built.path != "" {
			os.RemoveAll(filepath.Dir(built.path))
		}
	}()
	return m.Run()
}

// Program is the path of the real gatebook, built once a test run.
func Program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(ProgramVar); path != "" {
		return path
	}
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "gatebook-test-*")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "gatebook")
		built.err = build(built.path)
	})
	if built.err != nil {
		t.Fatalf("build gatebook: %v", built.err)
	}
	return built.path
}

// Change is one piece of a file's text that is replaced by another.
type Change struct {
	File     string // from the module's root
	Old, New string
}

// BrokenProgram builds gatebook with changed files, and leaves the files
// themselves alone. A text that is not there, or is there more than once, fails
// the test: a program that was not broken would prove nothing.
func BrokenProgram(t testing.TB, changes ...Change) string {
	t.Helper()
	root := goList(t, "-m", "-f", "{{.Dir}}")
	dir := t.TempDir()
	replace := map[string]string{}
	for i, c := range changes {
		path := filepath.Join(root, filepath.FromSlash(c.File))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("break gatebook: %v", err)
		}
		if n := strings.Count(string(text), c.Old); n != 1 {
			t.Fatalf("break gatebook: %s has the text to be replaced %d times, want once; bring the change up to date: %q", c.File, n, c.Old)
		}
		broken := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(broken, []byte(strings.Replace(string(text), c.Old, c.New, 1)), 0o600); err != nil {
			t.Fatalf("break gatebook: %v", err)
		}
		replace[path] = broken
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatalf("break gatebook: %v", err)
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, overlay, 0o600); err != nil {
		t.Fatalf("break gatebook: %v", err)
	}
	path := filepath.Join(dir, "gatebook")
	if err := build(path, "-overlay", name); err != nil {
		t.Fatalf("break gatebook: %v", err)
	}
	return path
}

func build(path string, flags ...string) error {
	args := append([]string{"build", "-o", path}, append(flags, "gatebook/cmd/gatebook")...)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func goList(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.TrimSpace(string(out))
}
