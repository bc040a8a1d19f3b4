package space_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatebook/ops/space"
	"gatebook/ops/testkit"
)

const mib = 1 << 20

func TestReserveIsMadeWhole(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	g, log := open(t, v.Dir)
	_, total := g.Free()
	want := int64(total) / 25 >> 16 << 16
	info, err := os.Stat(filepath.Join(v.Dir, "reserve"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 || info.Size() != want || allocated(info) < want {
		t.Fatalf("mode %v, size %d of %d, allocated %d", info.Mode(), info.Size(), want, allocated(info))
	}
	if g.Low() || log.text() != "" {
		t.Fatalf("low %v, log %s", g.Low(), log.text())
	}
}

// The whole way: full, going on from the reserve until it is spent, room again.
func TestFromFullToRoomy(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	g, log := open(t, v.Dir)
	whole := reserve(t, v.Dir)
	undo := v.Fill()
	testkit.Eventually(t, time.Second, func() error { return unless(g.Low(), "not low when full") })

	events := filepath.Join(v.Dir, "events")
	written := 0
	var full *space.FullError
	for !errors.As(ensureAndAppend(t, g, events), &full) {
		if written += 64 << 10; written > 16*mib {
			t.Fatal("the reserve never ends")
		}
	}
	if reserve(t, v.Dir) != 0 || int64(written) < whole/2 {
		t.Fatalf("%d of %d bytes were written before: %v [reserve %d]", written, whole, full, reserve(t, v.Dir))
	}
	if full.Free >= full.Need || !strings.Contains(full.Error(), "enlarge it") {
		t.Fatalf("%v", full)
	}

	run(t, g)
	testkit.Eventually(t, 5*time.Second, func() error { return log.has("there is no reserve") })
	undo()
	testkit.Eventually(t, 5*time.Second, func() error {
		return unless(reserve(t, v.Dir) == whole && !g.Low(), "the reserve did not grow back")
	})
	if info, _ := os.Stat(filepath.Join(v.Dir, "reserve")); allocated(info) < whole {
		t.Fatalf("it is hollow: %d of %d", allocated(info), whole)
	}
	testkit.Eventually(t, 5*time.Second, func() error { return log.has("has room again") })
	for _, once := range []string{"there is no reserve", "has room again"} {
		if n := strings.Count(log.text(), once); n != 1 {
			t.Errorf("%q was logged %d times:\n%s", once, n, log.text())
		}
	}
	if err := g.Ensure(); err != nil {
		t.Fatal(err)
	}
}

// Run gives room also to writers that do not ask.
func TestRunKeepsTheFloor(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	g, _ := open(t, v.Dir)
	v.Fill()
	run(t, g)
	testkit.Eventually(t, 5*time.Second, func() error {
		return os.WriteFile(filepath.Join(v.Dir, "other"), make([]byte, 256<<10), 0o600)
	})
}

// However many ask at once, no more is cut off than one chunk that serves all.
func TestEnsureTogether(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	g, _ := open(t, v.Dir)
	whole := reserve(t, v.Dir)
	v.Fill()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if err := g.Ensure(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if gone := whole - reserve(t, v.Dir); gone <= 0 || gone > whole/2 {
		t.Fatalf("%d of %d bytes were cut off", gone, whole)
	}
}

// With little room at the start the reserve is as large as fits, and the volume
// is no lower for it.
func TestTightStart(t *testing.T) {
	for _, free := range []int64{256 << 10, 2 * mib, 4 * mib, 5 * mib} {
		t.Run(fmt.Sprint(free>>10, " KiB free"), func(t *testing.T) {
			v := testkit.NewVolume(t, 64)
			create(t, filepath.Join(v.Dir, "reserve")) // on a full volume there is no room for the name
			leave(t, v.Dir, free)
			before := lowWithout(t, v.Dir)
			g, log := open(t, v.Dir)
			if g.Low() != before {
				t.Errorf("low %v before, %v after a reserve of %d", before, g.Low(), reserve(t, v.Dir))
			}
			if err := log.has("smaller than it should be"); err != nil {
				t.Error(err)
			}
			t.Logf("reserve %d", reserve(t, v.Dir))
		})
	}
}

func TestTakeOver(t *testing.T) {
	for name, size := range map[string]int64{"too large": 20 * mib, "too small": mib, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			v := testkit.NewVolume(t, 64)
			allocate(t, filepath.Join(v.Dir, "reserve"), size)
			open(t, v.Dir)
			checkWhole(t, v.Dir)
		})
	}
	t.Run("hollow", func(t *testing.T) {
		v := testkit.NewVolume(t, 64)
		path := filepath.Join(v.Dir, "reserve")
		create(t, path)
		if err := os.Truncate(path, 2*mib); err != nil {
			t.Fatal(err)
		}
		open(t, v.Dir)
		checkWhole(t, v.Dir)
	})
	t.Run("a link", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Symlink("/dev/null", filepath.Join(dir, "reserve")); err != nil {
			t.Fatal(err)
		}
		if _, err := space.Open(dir, slog.New(slog.DiscardHandler)); !errors.Is(err, unix.ELOOP) {
			t.Fatalf("open: %v", err)
		}
	})
}

// A power cut in the middle of giving room leaves a reserve that a start mends.
func TestPowerCutWhileGiving(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	g, _ := open(t, v.Dir)
	undo := v.Fill()
	if err := g.Ensure(); err != nil {
		t.Fatal(err)
	}
	v.Cut()
	if !g.Low() {
		t.Error("a dead volume is not low")
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	v.Remount()
	undo()
	open(t, v.Dir)
	checkWhole(t, v.Dir)
}

func TestAfterClose(t *testing.T) {
	g, err := space.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	free, total := g.Free()
	if err := g.Ensure(); !errors.Is(err, os.ErrClosed) || !g.Low() || free != 0 || total != 0 {
		t.Fatalf("ensure: %v, low %v, %d of %d free", err, g.Low(), free, total)
	}
}

func BenchmarkEnsure(b *testing.B) {
	g, err := space.Open(b.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	for b.Loop() {
		if err := g.Ensure(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLow(b *testing.B) {
	g, err := space.Open(b.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	for b.Loop() {
		g.Low()
	}
}

// journal keeps what was logged.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) has(words string) error {
	return unless(strings.Contains(j.text(), words), fmt.Sprintf("%q is not in the log:\n%s", words, j.text()))
}

func open(t *testing.T, dir string) (*space.Guard, *journal) {
	t.Helper()
	j := &journal{}
	g, err := space.Open(dir, slog.New(slog.NewTextHandler(j, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g, j
}

// run runs the guard until the test ends.
func run(t *testing.T, g *space.Guard) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { g.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// ensureAndAppend does what the ledger does; an append that fails after Ensure
// said yes fails the test.
func ensureAndAppend(t *testing.T, g *space.Guard, path string) error {
	t.Helper()
	if err := g.Ensure(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("after Ensure: %v", err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		t.Fatalf("after Ensure: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Fatalf("after Ensure: %v", err)
	}
	return nil
}

// leave takes room until only so much is free.
func leave(t *testing.T, dir string, free int64) {
	t.Helper()
	path := filepath.Join(dir, "others")
	create(t, path)
	if now := available(t, dir); now > free {
		allocate(t, path, now-free)
	}
}

// lowWithout says whether the volume is low as it is.
func lowWithout(t *testing.T, dir string) bool {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return available(t, dir) < int64(st.Blocks)*int64(st.Bsize)/20
}

func available(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

func create(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func allocate(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if size == 0 {
		return
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		t.Fatal(err)
	}
}

func checkWhole(t *testing.T, dir string) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "reserve"))
	if err != nil {
		t.Fatal(err)
	}
	want := int64(st.Blocks) * int64(st.Bsize) / 25 >> 16 << 16
	if info.Size() != want || allocated(info) < want {
		t.Fatalf("reserve of %d, allocated %d, instead of %d", info.Size(), allocated(info), want)
	}
}

func reserve(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "reserve"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func allocated(info os.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }

func unless(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}
