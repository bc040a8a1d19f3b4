package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// content is everything that can be read from a journal.
type content struct {
	Pending    []Attempt
	Tombstones map[string]time.Time
	Table      string
	Dropped    uint64
}

// read reports whether something said that it is damaged.
func read(t *testing.T, j *Journal) (c content, damaged bool) {
	t.Helper()
	var errs [5]error
	var table []byte
	c.Pending, errs[0] = j.Pending()
	c.Tombstones, errs[1] = j.Tombstones()
	table, errs[2] = j.LoadTable()
	c.Dropped, errs[3] = j.Dropped()
	errs[4] = j.Identity("north")
	c.Table = string(table)
	for _, err := range errs {
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("an error of another kind: %v", err)
		}
		damaged = damaged || err != nil
	}
	return c, damaged
}

// filled makes a journal with branches, overflow pages and inline buckets.
func filled(t *testing.T, attempts int) (path string, file []byte, c content) {
	t.Helper()
	j := open(t, t.TempDir())
	j.most = max(attempts, 1)
	must(t, j.Identity("north"))
	for i := range attempts + 1 { // one more: it makes room
		must(t, j.Ask(ask(fmt.Sprintf("C%04d", i))))
	}
	must(t, j.Opening(fmt.Sprintf("C%04d", attempts), "E1", "K1", "front"))
	must(t, j.Tombstone("K1", noon))
	must(t, j.SaveTable([]byte(strings.Repeat("0123456789", 1000))))
	c, damaged := read(t, j)
	if damaged {
		t.Fatal("damaged when new")
	}
	must(t, j.Close())
	file, err := os.ReadFile(j.path)
	must(t, err)
	return j.path, file, c
}

// judge opens a folder with these bytes: refused with a clear error, or read as
// what was written, or read with ErrDamaged. Never otherwise.
func judge(t *testing.T, path string, file []byte, truth content) (refused bool) {
	t.Helper()
	must(t, os.WriteFile(path, file, 0o600))
	j, err := Open(filepath.Dir(path))
	if err != nil {
		for _, part := range []string{path, "next: ", "move the file aside"} {
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), part) {
				t.Errorf("the error lacks %q: %v", part, err)
			}
		}
		return true
	}
	defer j.Close()
	got, damaged := read(t, j)
	if !damaged && !reflect.DeepEqual(got, truth) {
		t.Errorf("read as another truth: %d attempts, %d tombstones, table of %d, %d dropped",
			len(got.Pending), len(got.Tombstones), len(got.Table), got.Dropped)
	}
	return damaged
}

func TestFlippedByteIsNeverBelieved(t *testing.T) {
	for name, attempts := range map[string]int{"small": 1, "branches": 40} {
		t.Run(name, func(t *testing.T) {
			path, file, truth := filled(t, attempts)
			if judge(t, path, file, truth) {
				t.Fatal("refused when whole")
			}
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d, %d bytes", seed, len(file))
			random := rand.New(rand.NewPCG(seed, 0))
			noticed := 0
			for range 600 {
				at, bit := random.IntN(len(file)), byte(1+random.IntN(255))
				file[at] ^= bit
				if judge(t, path, file, truth) {
					noticed++
				}
				file[at] ^= bit
				if t.Failed() {
					t.Fatalf("byte %d ^ %#x", at, bit)
				}
			}
			if noticed == 0 {
				t.Error("nothing was noticed")
			}
		})
	}
}

func TestTruncatedFileIsRefused(t *testing.T) {
	path, file, truth := filled(t, 40)
	// In the last pages may be free ones, but none of those in use may be cut.
	for size := 0; size < len(file); size += 1 + len(file)/199 {
		if !judge(t, path, file[:size], truth) && size < len(file)/2 {
			t.Errorf("%d of %d bytes were taken for whole", size, len(file))
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	path, _, truth := filled(t, 1)
	other := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(other, 0o600, nil)
	must(t, err)
	must(t, db.Close())
	raw, err := os.ReadFile(other)
	must(t, err)
	for name, file := range map[string][]byte{
		"bbolt, not ours": raw, "empty": {}, "zeros": make([]byte, 64<<10), "text": []byte(strings.Repeat("journal ", 9000)),
	} {
		if !judge(t, path, file, truth) {
			t.Errorf("%s was taken for a journal", name)
		}
	}
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	_, err = Open(filepath.Dir(path))
	want(t, err, ErrDamaged)
}

// TestTableDamaged: the caller can go on without it and replace it.
func TestTableDamaged(t *testing.T) {
	path, file, _ := filled(t, 1)
	file[strings.Index(string(file), "0123456789")+4] = 'x'
	at := strings.LastIndex(string(file), "0123456789")
	file[at] = 'x' // whichever copy is the one in use
	must(t, os.WriteFile(path, file, 0o600))
	j := open(t, filepath.Dir(path))
	_, err := j.LoadTable()
	want(t, err, ErrDamaged)
	if got := pending(t, j); len(got) != 1 {
		t.Errorf("kept %+v", got)
	}
	must(t, j.SaveTable([]byte("new")))
	if raw, err := j.LoadTable(); string(raw) != "new" || err != nil {
		t.Fatalf("%q, %v", raw, err)
	}
}

// TestFileShrinksUnderneath: a page that cannot be read any more is a fault in
// the map, not a panic, and does not come back as data.
func TestFileShrinksUnderneath(t *testing.T) {
	path, _, _ := filled(t, 40)
	j := open(t, filepath.Dir(path))
	must(t, os.Truncate(path, 0))
	_, err := j.LoadTable()
	want(t, err, ErrDamaged)
	want(t, j.Ask(ask("C9999")), ErrDamaged)
	must(t, j.Close()) // and does not wait for bbolt's locks
}

// TestInspectAgreesWithCheck: over random use, whatever bbolt's own check finds
// sound is found sound at open.
func TestInspectAgreesWithCheck(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	j := open(t, t.TempDir())
	j.most = 60
	for range 40 {
		for range 15 {
			use(t, j, random)
		}
		must(t, j.view(func(tx *bolt.Tx) error {
			for err := range tx.Check() {
				t.Error(err)
			}
			return nil
		}))
		if err := inspect(j.path); err != nil {
			t.Fatal(err)
		}
	}
	if err := reopen(t, j); err == nil {
		t.Fatal("not reopened")
	}
}

func use(t *testing.T, j *Journal, random *rand.Rand) {
	t.Helper()
	c := fmt.Sprintf("C%d", random.IntN(200))
	var err error
	switch random.IntN(8) {
	case 0, 1, 2:
		err = j.Ask(ask(c))
	case 3:
		err = j.Opening(c, "E", "K", "d")
	case 4:
		err = j.Settle(c)
	case 5:
		err = j.SaveTable(make([]byte, random.IntN(40_000)))
	case 6:
		err = j.Tombstone(c+strings.Repeat("t", 40), noon)
	case 7:
		err = j.Forget(c + strings.Repeat("t", 40))
	}
	if err != nil && !errors.Is(err, ErrStep) && !errors.Is(err, ErrNotPending) && !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
}

// sumMetas makes the checksums of both meta pages right again, so that what they
// say is looked at.
func sumMetas(file []byte) {
	for _, at := range []int{headerSize, os.Getpagesize() + headerSize} {
		h := fnv.New64a()
		h.Write(file[at : at+metaSummed])
		binary.NativeEndian.PutUint64(file[at+metaSum:], h.Sum64())
	}
}

// FuzzInspect: what inspect lets through, bbolt can walk.
func FuzzInspect(f *testing.F) {
	j, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	_ = j.Ask(ask("C1"))
	_ = j.Close()
	file, err := os.ReadFile(j.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(16, uint64(1), 4096*2+8, uint64(2), 4096*3+10, uint64(3))
	f.Fuzz(func(t *testing.T, a int, x uint64, b int, y uint64, c int, z uint64) {
		bad := append([]byte{}, file...)
		for at, v := range map[int]uint64{a: x, b: y, c: z} {
			if at >= 0 && at+8 <= len(bad) {
				copy(bad[at:], []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
			}
		}
		sumMetas(bad)
		path := filepath.Join(t.TempDir(), fileName)
		must(t, os.WriteFile(path, bad, 0o600))
		j, err := Open(filepath.Dir(path))
		if err != nil {
			want(t, err, ErrDamaged)
			return
		}
		defer j.Close()
		read(t, j)
		if err := j.Ask(ask("another")); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		if j.rotten != nil {
			t.Fatalf("bbolt stumbled over what inspect let through: %v", j.rotten)
		}
	})
}
