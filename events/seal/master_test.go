package seal_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gatebook/events/seal"
)

func TestLoadMasterMakesOneOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	_, err := seal.LoadMaster(path, false)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing: got error %v", err)
	}
	m, err := seal.LoadMaster(path, true)
	ok(t, err)
	info, err := os.Stat(path)
	ok(t, err)
	if info.Mode() != 0o600 || info.Size() != 32 {
		t.Fatalf("mode %v, %d bytes", info.Mode(), info.Size())
	}
	for _, create := range []bool{true, false} {
		again, err := seal.LoadMaster(path, create)
		ok(t, err)
		if again.HeadKey() != m.HeadKey() {
			t.Fatal("loaded another key")
		}
	}
	onlyFile(t, dir)
}

func onlyFile(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	ok(t, err)
	if len(entries) != 1 {
		t.Fatalf("folder has %v", entries)
	}
}

func TestLoadMasterMadeByMany(t *testing.T) {
	dir := t.TempDir()
	heads := make([]seal.Key, 16)
	var wg sync.WaitGroup
	for i := range heads {
		wg.Go(func() {
			if m, err := seal.LoadMaster(filepath.Join(dir, "master.key"), true); err == nil {
				heads[i] = m.HeadKey()
			}
		})
	}
	wg.Wait()
	for _, h := range heads {
		if h != heads[0] || h == (seal.Key{}) {
			t.Fatal("two callers have different keys")
		}
	}
	onlyFile(t, dir)
}

func TestLoadMasterRefuses(t *testing.T) {
	secret := strings.Repeat("s", 32)
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		"empty":         {"", 0o600},
		"short":         {secret[1:], 0o600},
		"long":          {secret + "\n", 0o600},
		"zeros":         {strings.Repeat("\x00", 32), 0o600},
		"group reads":   {secret, 0o640},
		"others read":   {secret, 0o604},
		"group writes":  {secret, 0o620},
		"others search": {secret, 0o601},
	} {
		path := filepath.Join(t.TempDir(), "master.key")
		ok(t, os.WriteFile(path, []byte(c.content), 0o600))
		ok(t, os.Chmod(path, c.mode))
		_, err := seal.LoadMaster(path, true)
		if !errors.Is(err, seal.ErrMaster) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "sss") {
			t.Errorf("%s: got error %v", name, err)
		}
		if raw, err := os.ReadFile(path); err != nil || string(raw) != c.content {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := seal.LoadMaster(t.TempDir(), true); !errors.Is(err, seal.ErrMaster) {
		t.Errorf("folder: got error %v", err)
	}
}

func TestWrapOpensOnlyItsCode(t *testing.T) {
	m, k := newMaster(t), newKey(t)
	wrapped, err := m.Wrap(codeA, k, rand.Reader)
	ok(t, err)
	got, err := m.Unwrap(codeA, wrapped)
	ok(t, err)
	if got != k {
		t.Fatal("unwrapped another key")
	}
	if _, err := m.Unwrap(codeB, wrapped); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("other code: got error %v", err)
	}
	if _, err := newMaster(t).Unwrap(codeA, wrapped); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("other master: got error %v", err)
	}
	for i := range wrapped {
		wrapped[i] ^= 1
		if _, err := m.Unwrap(codeA, wrapped); !errors.Is(err, seal.ErrSealed) {
			t.Fatalf("byte %d changed: got error %v", i, err)
		}
		wrapped[i] ^= 1
	}
	if _, err := m.Wrap(codeA, seal.Key{}, rand.Reader); err == nil {
		t.Error("wrapped a key of zeros")
	}
}

// What is derived is compared with what others hold, on other machines and
// after updates, so it must never change.
func TestDerivedGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	k := goldenKey()
	ok(t, os.WriteFile(path, k[:], 0o600))
	m, err := seal.LoadMaster(path, false)
	ok(t, err)
	got, err := m.Unwrap(codeA, unhex(t, goldenWrapped))
	ok(t, err)
	if got != k {
		t.Error("the golden wrapped key is another")
	}
	if s := seal.Match(m.MatchKey(intercom, "UABC"), "4071"); s != goldenMatch {
		t.Errorf("match is %s", s)
	}
	if s := seal.Match(m.HeadKey(), "4071"); s != goldenHead {
		t.Errorf("head key gives %s", s)
	}
}

func TestKeysForDifferentThingsDiffer(t *testing.T) {
	m := newMaster(t)
	seen := make(map[seal.Key]string)
	for name, k := range map[string]seal.Key{
		"head":           m.HeadKey(),
		"one":            m.MatchKey("north", "UAB"),
		"other key":      m.MatchKey("north", "UAC"),
		"other intercom": m.MatchKey("south", "UAB"),
		"border moved":   m.MatchKey("northU", "AB"),
		"other master":   newMaster(t).MatchKey("north", "UAB"),
	} {
		if other, is := seen[k]; is {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[k] = name
	}
}

func TestMatch(t *testing.T) {
	k := newKey(t)
	a := seal.Match(k, "4071")
	if len(a) != 43 || a != seal.Match(k, "4071") || !seal.EqualMatch(a, seal.Match(k, "4071")) {
		t.Fatalf("match is %q", a)
	}
	for _, other := range []string{seal.Match(k, "4072"), seal.Match(k, ""), seal.Match(newKey(t), "4071"), "", a + "A"} {
		if seal.EqualMatch(a, other) {
			t.Errorf("equal to %q", other)
		}
	}
}
