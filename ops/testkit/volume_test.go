package testkit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatebook/ops/testkit"
)

func TestCutKeepsWhatWasSyncedAndLosesTheRest(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	body := bytes.Repeat([]byte("gate"), 1024)
	kept := write(t, v.Dir, "synced", body, true)
	const many = 300
	for i := range many {
		write(t, v.Dir, fmt.Sprintf("unsynced-%d", i), body, false)
	}

	v.Cut()
	if err := os.WriteFile(filepath.Join(v.Dir, "late"), body, 0o600); err == nil {
		t.Fatal("a write after the cut succeeded")
	}
	v.Remount()

	if got, err := os.ReadFile(kept); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("the synced file did not survive: %d bytes, %v", len(got), err)
	}
	whole := 0
	for i := range many {
		got, _ := os.ReadFile(filepath.Join(v.Dir, fmt.Sprintf("unsynced-%d", i)))
		if bytes.Equal(got, body) {
			whole++
		}
	}
	// The kernel may write back a file on its own at any time, so one survivor
	// proves nothing; that none is missing would prove that there was no cut.
	if whole == many {
		t.Fatalf("all %d unsynced files survived: the power was not cut", many)
	}
	t.Logf("%d of %d unsynced files survived", whole, many)
}

func TestRemountWithoutCutKeepsEverything(t *testing.T) {
	v := testkit.NewVolume(t, 8)
	path := write(t, v.Dir, "file", []byte("here"), false)
	v.Remount()
	if got, err := os.ReadFile(path); err != nil || string(got) != "here" {
		t.Fatalf("read %q, %v", got, err)
	}
}

// A process that ignores the cut must not bring the dead file system back.
func TestRemountWithOpenFiles(t *testing.T) {
	v := testkit.NewVolume(t, 8)
	path := write(t, v.Dir, "file", []byte("first"), true)
	open, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	v.Cut()
	v.Remount()
	if _, err := open.WriteAt([]byte("LATER"), 0); err == nil {
		t.Error("a file opened before the cut is still writable")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Fatalf("read %q, %v", got, err)
	}
	write(t, v.Dir, "after", []byte("x"), true)
}

func TestFill(t *testing.T) {
	v := testkit.NewVolume(t, 16)
	undo := v.Fill()
	err := os.WriteFile(filepath.Join(v.Dir, "more"), make([]byte, 4096), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("writing to a full volume: %v", err)
	}
	undo()
	undo() // twice is harmless
	write(t, v.Dir, "more", make([]byte, 1<<20), true)
}

func TestNestedDiskFailsOnceTheOuterIsFull(t *testing.T) {
	outer := testkit.NewVolume(t, 64)
	inner := outer.Nested(t, 128)
	outer.Fill()
	f, err := os.Create(filepath.Join(inner.Dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 8<<20)); err != nil {
		t.Fatalf("the page cache should have taken it: %v", err)
	}
	if err := f.Sync(); err == nil {
		t.Fatal("fsync succeeded on a disk that cannot write")
	}
}

func TestEventually(t *testing.T) {
	looks := 0
	testkit.Eventually(t, time.Minute, func() error {
		if looks++; looks < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if looks != 3 {
		t.Fatalf("looked %d times", looks)
	}
}

func write(t *testing.T, dir, name string, body []byte, sync bool) string {
	t.Helper()
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(body); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		// The name is on the disk only once the folder is.
		d, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
