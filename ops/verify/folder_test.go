package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"gatebook/events"
)

func TestUntouchedFolderIsWell(t *testing.T) {
	dir := ledgerFolder(t)
	t.Setenv("TMPDIR", t.TempDir())
	before := picture(t, dir)
	for range 2 {
		a := wantWell(t, dir)
		if a.Events != eventsHeld || a.Message != "all "+strconv.Itoa(eventsHeld)+" events are there and well" {
			t.Fatal(said(a))
		}
	}
	if after := picture(t, dir); !maps.Equal(before, after) {
		t.Error("the folder was written")
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "gatebook-verify-*")); err != nil || len(left) > 0 {
		t.Errorf("copies are left behind: %v, %v", left, err)
	}
}

type look struct {
	sum  [32]byte
	mode fs.FileMode
	at   time.Time
}

// picture is every file and folder with content and time of its last change.
func picture(t testing.TB, dir string) map[string]look {
	t.Helper()
	all := map[string]look{}
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		l := look{mode: info.Mode(), at: info.ModTime()}
		if !d.IsDir() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			l.sum = sha256.Sum256(raw)
		}
		all[path] = l
		return nil
	}))
	return all
}

// A store written by the test reads like the server's own, in one block and in
// many, with its headers and without: what the other tests change is all that
// they change.
func TestRewrittenFolderIsWell(t *testing.T) {
	dir := ledgerFolder(t)
	for _, perBlock := range []int{eventsHeld, 70, 1} {
		d := copied(t, dir)
		all := readStore(t, d)
		writeStore(t, d, all, perBlock)
		wantWell(t, d)
		writeStore(t, d, withoutHeaders(all), perBlock)
		wantWell(t, d)
	}
	s := storeOf(t, dir, events.Ledger)
	if slices.Equal(s.blocks, []uint32{1}) && !s.index.fresh {
		t.Error("the index of a server that stopped is not taken for fresh")
	}
	if s.index.last != eventsHeld {
		t.Errorf("the index is read to end at %d", s.index.last)
	}
}

// A folder as a kill leaves it: no index, or one that is older than the events,
// and a head and views that are behind.
func TestKilledServerLeavesALedgerThatIsWell(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		w := newWorld(t, dir).live(40).keep().live(20)
		killed := copied(t, dir)
		s := storeOf(t, killed, events.Ledger)
		if s.index.fresh {
			t.Error("the index of a killed server is taken for fresh")
		}
		if a := wantWell(t, killed); a.Events != uint64(60*(round+1)) {
			t.Error(said(a))
		}
		w.keep().stop()
	}
}

// Events so large that the server begins a second and a third block.
func TestBlocksOfARealServer(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir)
	w.begin("north")
	for range 24 {
		w.now = w.now.Add(48 * time.Hour)
		code := w.hugeCode()
		w.force(events.Issued, "operator", events.ViaCLI, code)
		w.now = code.ExpiresAt
		w.force(events.Expired, events.ByClock, events.ViaTimer, events.EndedData{CodeID: code.CodeID})
	}
	w.keep().stop()
	s := storeOf(t, dir, events.Ledger)
	if len(s.blocks) < 3 {
		t.Fatalf("only %d blocks", len(s.blocks))
	}
	wantWell(t, dir)
	for _, n := range s.blocks {
		d := copied(t, dir)
		p := places(t, s, n)[0]
		flip(t, storeOf(t, d, events.Ledger).blockPath(n), p.begin+4, 6)
		wantFinding(t, verify(t, d), p.sequence)
	}
	ok(t, os.Remove(s.blockPath(s.blocks[1])))
	wantFinding(t, verify(t, dir), uint64(len(places(t, s, s.blocks[0]))+1))
}

func (w *world) hugeCode() events.IssuedData {
	settings := w.views.State("north").Settings
	return events.IssuedData{
		CodeID: w.newID(), Sealed: make([]byte, 700<<10), ExpiresAt: w.now.Add(12 * time.Hour),
		EntryDevice: settings.EntryDevice, ExitDevice: settings.EntryDevice,
	}
}

func TestNoRoomForACopy(t *testing.T) {
	dir := t.TempDir()
	ok(t, hasRoom(dir, 1))
	if err := hasRoom(dir, 1<<60); err == nil {
		t.Error("an exabyte is said to fit")
	}
}

func TestFolderEndsWithItsContext(t *testing.T) {
	dir := ledgerFolder(t)
	ctx, cancel := context.WithCancel(within(t))
	var last uint64
	_, _ = Folder(ctx, dir, quiet(), func(done, of uint64) { // it may be done first
		if done < last || done > of {
			t.Errorf("%d of %d after %d", done, of, last)
		}
		last = done
		cancel()
	})
	if last == 0 {
		t.Error("no word on progress")
	}
	cancel()
	if _, err := Folder(ctx, dir, quiet(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// Whatever lies in a block file, reading it ends and stays inside it.
func FuzzBlock(f *testing.F) {
	b, err := newBlock(events.Ledger, 1, nil)
	ok(f, err)
	f.Add(b.encode(written{sequence: 1, time: 2, subject: "ledger.a.b", header: []byte("NATS/1.0\r\n\r\n"), data: []byte("{}")}))
	f.Add(b.encode(written{sequence: 1 | erasedBit}))
	f.Add([]byte{30, 0, 0, 128})
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := newBlock(events.Ledger, 1, raw)
		ok(t, err)
		end := b.each(func(r record) { r.fence() })
		if end > len(raw) {
			t.Fatalf("read up to %d of %d", end, len(raw))
		}
		if end < len(raw) {
			b.torn(end)
		}
	})
}
