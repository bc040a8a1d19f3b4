// Package broken breaks one mechanism of a ledger, to show that the test which
// guards it goes red. Production code has no switch for that: the change is a
// few lines, made to copies of the files as they are now, and given to go test
// with -overlay.
//
// In comes a Break; out goes the overlay's file in a temporary folder. What
// always holds: a line that is not found exactly once is an error, so a break
// that no longer breaks anything is noticed, and nothing of the tree is changed.
package broken

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Break is one broken mechanism.
type Break struct {
	// File, from the root of the repository, has Line exactly once; it becomes
	// Becomes.
	File, Line, Becomes string
	// Adds is Go source that stands in a new file beside File.
	Adds string
}

// Fence spells the guard of an append in two ways, in turn. On replicas the
// guard is keyed by its literal text, so two writers may both be first.
var Fence = Break{
	File:    "events/subjects.go",
	Line:    `func Fence(intercom string) string { return "ledger." + intercom + ".>" }`,
	Becomes: `func Fence(intercom string) string { return "ledger." + intercom + spelling() }`,
	Adds: `package events

import "sync/atomic"

var fences atomic.Uint64

func spelling() string {
	if fences.Add(1)%2 == 0 {
		return ".*"
	}
	return ".>"
}
`,
}

// Barrier lets everybody who waits for the disk run a sync alone.
var Barrier = Break{
	File:    "events/ledger/durable.go",
	Line:    `	g, err := d.join()`,
	Becomes: "	if true {\n		return d.alone()\n	}\n	g, err := d.join()",
	Adds: `package ledger

import "time"

func (d *Durable) alone() error {
	began := time.Now()
	err := d.sync()
	d.onSync(1, time.Since(began))
	return err
}
`,
}

// Chain leaves out that the verifier holds each event against the one before it.
var Chain = Break{
	File:    "ops/verify/audit.go",
	Line:    `	a.follow(e, m)`,
	Becomes: `	unfollowed(e, m)`,
	Adds: `package verify

import "gatebook/events"

func unfollowed(events.Stored, message) {}
`,
}

// Overlay writes what go test -overlay takes into dir and returns its path.
func (b Break) Overlay(root, dir string) (string, error) {
	path := filepath.Join(root, b.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("break %s: %w", b.File, err)
	}
	if n := strings.Count(string(text), b.Line+"\n"); n != 1 {
		return "", fmt.Errorf("break %s: it has the line %q %d times: it was changed, so change the break", b.File, b.Line, n)
	}
	changed := filepath.Join(dir, filepath.Base(b.File))
	added := filepath.Join(dir, "broken.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		path: changed,
		filepath.Join(filepath.Dir(path), "broken.go"): added,
	}})
	if err != nil {
		return "", fmt.Errorf("break %s: %w", b.File, err)
	}
	broken := strings.Replace(string(text), b.Line+"\n", b.Becomes+"\n", 1)
	list := filepath.Join(dir, "overlay.json")
	for name, content := range map[string]string{changed: broken, added: b.Adds, list: string(overlay)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return "", fmt.Errorf("break %s: %w", b.File, err)
		}
	}
	return list, nil
}
