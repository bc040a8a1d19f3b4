package verify

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gatebook/events"
	"gatebook/events/seal"
)

// place is where a record of a block file lies.
type place struct {
	sequence   uint64
	begin, end int
}

// places are where the records of a block file lie.
func places(t testing.TB, s *store, n uint32) []place {
	t.Helper()
	buf, err := os.ReadFile(s.blockPath(n))
	ok(t, err)
	b, err := newBlock(s.name, n, buf)
	ok(t, err)
	var all []place
	at := 0
	b.each(func(r record) {
		all = append(all, place{r.sequence, at, at + r.size})
		at += r.size
	})
	return all
}

func flip(t testing.TB, path string, at int, bit int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	ok(t, err)
	raw[at] ^= 1 << bit
	ok(t, os.WriteFile(path, raw, 0o600))
}

func forgetIndex(t testing.TB, dir string) {
	t.Helper()
	ok(t, os.Remove(filepath.Join(storeOf(t, dir, events.Ledger).dir, msgsDir, indexFile)))
}

// One bit anywhere in the records is noticed and named, whether the server was
// stopped or, without its index, must read every block when it opens.
func TestFlippedBitInBlock(t *testing.T) {
	whole := ledgerFolder(t)
	split := copied(t, whole)
	writeStore(t, split, readStore(t, split), 70)
	all := []struct {
		name  string
		dir   string
		index bool
	}{{"with index", whole, true}, {"without index", whole, false}, {"many blocks", split, true}}
	forSeeds(t, func(t *testing.T, rnd *rand.Rand) {
		for _, c := range all {
			dir := copied(t, c.dir)
			if !c.index {
				forgetIndex(t, dir)
			}
			s := storeOf(t, dir, events.Ledger)
			n := s.blocks[rnd.IntN(len(s.blocks))]
			records := places(t, s, n)
			p := records[rnd.IntN(len(records))]
			at, bit := p.begin+rnd.IntN(p.end-p.begin), rnd.IntN(8)
			flip(t, s.blockPath(n), at, bit)
			t.Logf("%s: block %d, record of %d, byte %d of it, bit %d", c.name, n, p.sequence, at-p.begin, bit)
			wantFinding(t, verify(t, dir), p.sequence)
		}
	})
}

// fields are the parts of a record.
func fields(p place, subject, header int) map[string][2]int {
	body := p.begin + recordHead
	return map[string][2]int{
		"size":         {p.begin, p.begin + 4},
		"sequence":     {p.begin + 4, p.begin + 12},
		"time":         {p.begin + 12, p.begin + 20},
		"subject size": {p.begin + 20, p.begin + 22},
		"subject":      {body, body + subject},
		"header size":  {body + subject, body + subject + 4},
		"header":       {body + subject + 4, body + subject + 4 + header},
		"data":         {body + subject + 4 + header, p.end - recordSum},
		"checksum":     {p.end - recordSum, p.end},
	}
}

// Every field of a record, in the first, a middle and the last one.
func TestFlippedBitInEachField(t *testing.T) {
	whole := ledgerFolder(t)
	rnd := rand.New(rand.NewPCG(3, 3))
	all := readStore(t, whole)
	for _, i := range []int{0, len(all) / 2, len(all) - 1} {
		s := storeOf(t, whole, events.Ledger)
		p := places(t, s, 1)[i]
		for name, f := range fields(p, len(all[i].subject), len(all[i].header)) {
			t.Run(name, func(t *testing.T) {
				for _, index := range []bool{true, false} {
					dir := copied(t, whole)
					if !index {
						forgetIndex(t, dir)
					}
					at, bit := f[0]+rnd.IntN(f[1]-f[0]), rnd.IntN(8)
					flip(t, storeOf(t, dir, events.Ledger).blockPath(1), at, bit)
					a := verify(t, dir)
					t.Logf("record %d, byte %d, bit %d: %s", p.sequence, at-p.begin, bit, said(a))
					wantFinding(t, a, p.sequence)
				}
			})
		}
	}
}

// The other files of the ledger's stream have no sequence to name.
func TestFlippedBitBesideBlocks(t *testing.T) {
	whole := ledgerFolder(t)
	forSeeds(t, func(t *testing.T, rnd *rand.Rand) {
		for _, name := range []string{metaFile, metaSum, filepath.Join(msgsDir, indexFile)} {
			dir := copied(t, whole)
			path := filepath.Join(storeOf(t, dir, events.Ledger).dir, name)
			info, err := os.Stat(path)
			ok(t, err)
			flip(t, path, rnd.IntN(int(info.Size())), rnd.IntN(8))
			a := verify(t, dir)
			wantFinding(t, a)
			if a.FirstBadSequence != nil || *a.Law != 6 {
				t.Error(said(a))
			}
		}
	})
}

// A bit in any file of any stream, or in the head, is noticed.
func TestFlippedBitAnywhere(t *testing.T) {
	whole := ledgerFolder(t)
	var files []string
	for _, pattern := range []string{"jetstream/*/streams/*/meta.*", "jetstream/*/streams/*/msgs/*", "head", "master.key"} {
		found, err := filepath.Glob(filepath.Join(whole, pattern))
		ok(t, err)
		files = append(files, found...)
	}
	forSeeds(t, func(t *testing.T, rnd *rand.Rand) {
		dir := copied(t, whole)
		name, err := filepath.Rel(whole, files[rnd.IntN(len(files))])
		ok(t, err)
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		ok(t, err)
		at, bit := rnd.IntN(int(info.Size())), rnd.IntN(8)
		t.Logf("%s, byte %d of %d, bit %d", name, at, info.Size(), bit)
		flip(t, path, at, bit)
		wantFinding(t, verify(t, dir))
	})
}

// The mark of the views is stored without headers, so that its record's checksum
// leaves open where its subject ends.
func TestFlippedBitInSubjectSizeOfMark(t *testing.T) {
	whole := ledgerFolder(t)
	s := storeOf(t, whole, viewsStream)
	records := places(t, s, 1)
	mark := records[len(records)-1]
	for bit := range 16 {
		dir := copied(t, whole)
		flip(t, storeOf(t, dir, viewsStream).blockPath(1), mark.begin+recordHead-2+bit/8, bit%8)
		wantFinding(t, verify(t, dir))
	}
}

// Somebody took an event out and left the gap, or closed it.
func TestRemovedEvent(t *testing.T) {
	whole := ledgerFolder(t)
	forSeeds(t, func(t *testing.T, rnd *rand.Rand) {
		dir := copied(t, whole)
		all := readStore(t, dir)
		i := rnd.IntN(len(all))
		gone := all[i]
		all = slices.Delete(all, i, i+1)
		writeStore(t, dir, all, 100)
		wantFinding(t, verify(t, dir), gone.sequence)

		writeStore(t, dir, renumber(all), 100)
		wantFinding(t, verify(t, dir), gone.sequence)

		// Without headers only the chain and what was kept outside can tell: the
		// place may be named later than it was, never earlier.
		writeStore(t, dir, withoutHeaders(all), 100)
		a := verify(t, dir)
		t.Logf("%d was taken out: %s", gone.sequence, said(a))
		wantFinding(t, a)
		if *a.FirstBadSequence < gone.sequence {
			t.Error("named too early")
		}
	})
}

func TestSwappedEvents(t *testing.T) {
	whole := ledgerFolder(t)
	forSeeds(t, func(t *testing.T, rnd *rand.Rand) {
		dir := copied(t, whole)
		all := readStore(t, dir)
		i, j := rnd.IntN(len(all)-1), 0
		for j = i; j == i; {
			j = rnd.IntN(len(all))
		}
		if rnd.IntN(2) == 0 {
			j = i + 1
		}
		i, j = min(i, j), max(i, j)
		same := decoded(t, all[i]).Intercom == decoded(t, all[j]).Intercom

		// The records as they are, in another order.
		all[i], all[j] = all[j], all[i]
		writeStore(t, dir, all, 100)
		wantFinding(t, verify(t, dir), uint64(i+1))

		// The messages in each other's place.
		writeStore(t, dir, renumber(all), 100)
		a := verify(t, dir)
		t.Logf("%d and %d, of one intercom: %v: %s", i+1, j+1, same, said(a))
		wantFinding(t, a, uint64(i+1))
	})
}

func TestEditedEvent(t *testing.T) {
	whole := ledgerFolder(t)
	forSeeds(t, func(t *testing.T, rnd *rand.Rand) {
		dir := copied(t, whole)
		all := readStore(t, dir)
		i := rnd.IntN(len(all))
		sequence := all[i].sequence

		// The bytes alone: their checksum tells.
		s := storeOf(t, dir, events.Ledger)
		p := places(t, s, 1)[i]
		raw, err := os.ReadFile(s.blockPath(1))
		ok(t, err)
		copy(raw[p.end-recordSum-4:], "}}}}")
		ok(t, os.WriteFile(s.blockPath(1), raw, 0o600))
		wantFinding(t, verify(t, dir), sequence)

		// With the checksum: the next event's hash, or what was kept outside.
		edit(t, &all[i])
		writeStore(t, dir, all, 100)
		wantFinding(t, verify(t, dir), sequence)
		writeStore(t, dir, withoutHeaders(slices.Clone(all)), 100)
		wantFinding(t, verify(t, dir), sequence)

		// With the intercom's chain as well: what was kept outside knows the end of
		// that chain, so that is what can be named.
		rechain(t, all, i)
		writeStore(t, dir, all, 100)
		a := verify(t, dir)
		t.Logf("%d of %s rewritten with its chain: %s", sequence, decoded(t, all[i]).Intercom, said(a))
		wantFinding(t, a, sequence, lastOf(t, all, i))
	})
}

// lastOf is the sequence of the newest event of the intercom of message i.
func lastOf(t testing.TB, all []written, i int) (last uint64) {
	t.Helper()
	intercom := decoded(t, all[i]).Intercom
	for _, w := range all {
		if decoded(t, w).Intercom == intercom {
			last = w.sequence
		}
	}
	return last
}

func TestCutTail(t *testing.T) {
	whole := ledgerFolder(t)
	forSeeds(t, func(t *testing.T, rnd *rand.Rand) {
		for _, index := range []bool{true, false} {
			dir := copied(t, whole)
			if !index {
				forgetIndex(t, dir)
			}
			s := storeOf(t, dir, events.Ledger)
			records := places(t, s, 1)
			size := records[len(records)-1].end
			left := rnd.IntN(size)
			if rnd.IntN(2) == 0 {
				left = size - 1 - rnd.IntN(1000)
			}
			ok(t, os.Truncate(s.blockPath(1), int64(left)))
			first := slices.IndexFunc(records, func(p place) bool { return p.end > left })
			wantFinding(t, verify(t, dir), records[first].sequence)
		}
	})
}

func TestRemovedLastBlock(t *testing.T) {
	whole := ledgerFolder(t)
	writeStore(t, whole, readStore(t, whole), 70)
	wantWell(t, whole)
	s := storeOf(t, whole, events.Ledger)
	for left := len(s.blocks) - 1; left >= 0; left-- {
		ok(t, os.Remove(s.blockPath(s.blocks[left])))
		wantFinding(t, verify(t, whole), uint64(70*left+1))
	}
	ok(t, os.RemoveAll(s.dir))
	wantFinding(t, verify(t, whole), 1)
}

// The head gone with the tail: the views and the index still know.
func TestCutTailWithoutHead(t *testing.T) {
	whole := ledgerFolder(t)
	ok(t, os.Remove(filepath.Join(whole, "head")))
	wantFinding(t, verify(t, whole)) // itself
	all := readStore(t, whole)
	writeStore(t, whole, all[:eventsHeld-20], 100)
	wantFinding(t, verify(t, whole), eventsHeld-19)
}

func TestTornRecordIsNoFinding(t *testing.T) {
	whole := ledgerFolder(t)
	all := readStore(t, whole)
	for name, tear := range map[string]func([]byte) []byte{
		"short": func(b []byte) []byte { return b[:len(b)/2] },
		"zeros": func(b []byte) []byte { clear(b[len(b)/2:]); return b },
		"empty": func(b []byte) []byte { clear(b); return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, whole)
			s := storeOf(t, dir, events.Ledger)
			b, err := newBlock(s.name, 1, nil)
			ok(t, err)
			next := all[len(all)-1]
			next.sequence++
			f, err := os.OpenFile(s.blockPath(1), os.O_APPEND|os.O_WRONLY, 0)
			ok(t, err)
			_, err = f.Write(tear(b.encode(next)))
			ok(t, err)
			ok(t, f.Close())
			if a := wantWell(t, dir); a.Events != eventsHeld {
				t.Error(said(a))
			}
		})
	}
}

// Views are not the ledger: a damaged one is said, and that it is made anew.
func TestKeptViewThatDiffers(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir).live(100).keep()
	js := w.log.JetStream()
	kv, err := js.KeyValue(within(t), "VIEWS")
	ok(t, err)
	entry, err := kv.Get(within(t), "intercom.east")
	ok(t, err)
	raw := slices.Clone(entry.Value())
	raw[len(raw)/2] ^= 1
	_, err = kv.Put(within(t), "intercom.east", raw)
	ok(t, err)
	a, err := Ledger(within(t), w.log, Options{Views: true})
	ok(t, err)
	wantFinding(t, a)
	w.stop()
	a = verify(t, dir)
	wantFinding(t, a)
	if a.Next != nextView || a.FirstBadSequence != nil {
		t.Error(said(a))
	}
}

func TestLiveCodesWithoutKey(t *testing.T) {
	dir := ledgerFolder(t)
	ok(t, os.RemoveAll(storeOf(t, dir, seal.KeysStream).dir))
	a := wantWell(t, dir)
	t.Log(a.Message)
	if a.Message == whole(eventsHeld) {
		t.Error("it is not said that codes have no key")
	}
}
