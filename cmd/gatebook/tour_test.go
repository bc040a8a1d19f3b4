package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README's tour does what it says: its code blocks are run as they stand, in
// a copy of the tree.
func TestTheTourInTheReadme(t *testing.T) {
	root := copyTree(t)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -eu\ntrap 'kill $(jobs -p); wait' EXIT\n")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(readme, -1) {
		script.Write(block[1])
	}
	tour := exec.Command("bash", "-c", script.String())
	tour.Dir = root
	tour.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GATEBOOK") })
	var out, said strings.Builder
	tour.Stdout, tour.Stderr = &out, &said
	if err := tour.Run(); err != nil {
		t.Fatalf("the tour ends with %v\n%s\n%s", err, out.String(), said.String())
	}
	var decisions []string
	for _, d := range regexp.MustCompile(`"decision":"(\w+)","reason":(?:null|"(\w+)")`).FindAllStringSubmatch(out.String(), -1) {
		decisions = append(decisions, d[1]+d[2])
	}
	want := []string{"open", "rejectwrong_direction", "open", "rejectspent", "rejectrevoked"}
	if !slices.Equal(decisions, want) {
		t.Errorf("the keypad said %v, want %v", decisions, want)
	}
	for _, words := range []string{"Bob Moran", "revoked", "well"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("the tour does not show %q:\n%s", words, out.String())
		}
	}
}

// copyTree copies what the repository has, and nothing that was built or kept.
func copyTree(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{"cmd", "commands", "events", "intercom", "ops", "projections"} {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join("..", "..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "README.md"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
