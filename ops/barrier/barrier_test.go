package barrier_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"gatebook/ops/barrier"
	"gatebook/ops/testkit"
)

// Law 3: what was written before Sync is there after a power cut, whoever wrote it.
func TestSyncSurvivesAPowerCut(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	store := mkdir(t, v.Dir, "store")
	f := open(t, store)
	const writers = 16
	body := bytes.Repeat([]byte("event"), 1000)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			name := filepath.Join(store, string(rune('a'+i)))
			if err := os.WriteFile(name, body, 0o600); err != nil {
				t.Error(err)
			}
			if err := f.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	v.Cut()
	if err := f.Sync(); err == nil {
		t.Error("a barrier after the cut succeeded")
	}
	shut(t, f)
	v.Remount()
	for i := range writers {
		got, err := os.ReadFile(filepath.Join(store, string(rune('a'+i))))
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("writer %d: %d bytes, %v", i, len(got), err)
		}
	}
}

// The kernel reports a write-back error once, then serves the lost pages from
// memory. Sync must not forget it, and DropCache must bring the truth back.
func TestAfterAWriteBackError(t *testing.T) {
	outer := testkit.NewVolume(t, 64)
	inner := outer.Nested(t, 128)
	store := mkdir(t, inner.Dir, "store")
	path := filepath.Join(store, "block")
	preallocate(t, path, 8<<20)
	f := open(t, store)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	outer.Fill()

	lost := bytes.Repeat([]byte{1}, 8<<20)
	overwrite(t, path, lost)
	first := f.Sync()
	if first == nil {
		t.Fatal("the barrier succeeded on a disk that cannot write")
	}
	if again := f.Sync(); again != first {
		t.Fatalf("the second barrier says %v", again)
	}
	if got := read(t, path); !bytes.Equal(got, lost) {
		t.Fatal("the kernel no longer shows what it lost: this test shows nothing now")
	}

	// What the next start does; whether its own Sync succeeds depends on what the
	// disk does then, and is not the point here.
	next := open(t, store)
	t.Logf("first: %v; next start: %v", first, next.Sync())
	if err := barrier.DropCache(store); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); bytes.Equal(got, lost) {
		t.Fatal("after DropCache memory still shows what the disk does not hold")
	}
}

func TestSyncAfterClose(t *testing.T) {
	f, err := barrier.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	shut(t, f)
	shut(t, f)
	if err := f.Sync(); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("sync after close: %v", err)
	}
}

func TestOpenWantsAFolder(t *testing.T) {
	if _, err := barrier.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("open: %v", err)
	}
}

func TestSound(t *testing.T) {
	v := testkit.NewVolume(t, 16)
	store := mkdir(t, v.Dir, "store")
	sub := mkdir(t, store, "sub")
	if err := barrier.Sound(store); err != nil {
		t.Fatalf("ext4 on one mount: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(store, link); err != nil {
		t.Fatal(err)
	}
	if err := barrier.Sound(link); err != nil {
		t.Fatalf("the folder itself given by a link: %v", err)
	}
	unsound(t, filepath.Join(store, "none"), "no such file")

	inside := filepath.Join(sub, "link")
	if err := os.Symlink(t.TempDir(), inside); err != nil {
		t.Fatal(err)
	}
	unsound(t, store, "symbolic link")
	if err := os.Remove(inside); err != nil {
		t.Fatal(err)
	}

	if err := unix.Mount("none", sub, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(sub, unix.MNT_DETACH)
	unsound(t, sub, "tmpfs")
	unsound(t, store, "another mount")
}

// A file of the same file system bound over one in the store is another mount:
// it may be read-only, or go away.
func TestSoundSeesABoundFile(t *testing.T) {
	v := testkit.NewVolume(t, 16)
	store := mkdir(t, v.Dir, "store")
	file, other := filepath.Join(store, "file"), filepath.Join(v.Dir, "other")
	for _, path := range []string{file, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(other, file, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(file, unix.MNT_DETACH)
	unsound(t, store, "another mount")
}

func TestMarker(t *testing.T) {
	dir := t.TempDir()
	if why, failed := barrier.Failed(dir); failed {
		t.Fatalf("failed at first: %s", why)
	}
	if err := barrier.MarkFailed(dir, errors.New("disk on fire")); err != nil {
		t.Fatal(err)
	}
	if err := barrier.MarkFailed(dir, errors.New("still")); err != nil {
		t.Fatal(err)
	}
	if why, failed := barrier.Failed(dir); !failed || why != "disk on fire\nstill" {
		t.Fatalf("%q, %v", why, failed)
	}
	info, err := os.Stat(filepath.Join(dir, "barrier-failed"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	for range 2 { // clearing what is not there is no error
		if err := barrier.ClearFailed(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, failed := barrier.Failed(dir); failed {
		t.Fatal("still failed")
	}
}

func TestMarkerInDoubtCounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "barrier-failed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if why, failed := barrier.Failed(dir); !failed || why != "cause not recorded" {
		t.Fatalf("empty marker: %q, %v", why, failed)
	}
	file := filepath.Join(dir, "barrier-failed")
	if why, failed := barrier.Failed(file); !failed || !strings.Contains(why, "cannot be read") {
		t.Fatalf("not a folder: %q, %v", why, failed)
	}
	if err := barrier.MarkFailed(file, errors.New("x")); err == nil {
		t.Fatal("marked in a file")
	}
}

func TestMarkerOnAFullDisk(t *testing.T) {
	v := testkit.NewVolume(t, 16)
	v.Fill()
	if err := barrier.MarkFailed(v.Dir, errors.New("no room")); err != nil {
		t.Logf("as it may: %v", err)
	}
	if _, failed := barrier.Failed(v.Dir); !failed {
		t.Fatal("no mark")
	}
}

func TestDropCacheOfAMissingFolder(t *testing.T) {
	if err := barrier.DropCache(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("drop: %v", err)
	}
}

func unsound(t *testing.T, dir, why string) {
	t.Helper()
	if err := barrier.Sound(dir); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("sound %s: %v, want a word of %q", dir, err, why)
	} else {
		t.Log(err)
	}
}

func mkdir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, dir string) *barrier.FS {
	t.Helper()
	f, err := barrier.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func shut(t *testing.T, f *barrier.FS) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func preallocate(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path string, body []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(body, 0); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
