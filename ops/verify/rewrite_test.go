package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gatebook/events"
)

// written is one message as a test writes it into a block file.
type written struct {
	sequence uint64
	time     uint64
	subject  string
	header   []byte
	data     []byte
}

// readStore gives all messages of the ledger in a folder.
func readStore(t testing.TB, dir string) []written {
	t.Helper()
	s := storeOf(t, dir, events.Ledger)
	var all []written
	for _, n := range s.blocks {
		buf, err := os.ReadFile(s.blockPath(n))
		ok(t, err)
		b, err := newBlock(s.name, n, buf)
		ok(t, err)
		at := 0
		end := b.each(func(r record) {
			all = append(all, written{
				sequence: r.sequence, time: binary.LittleEndian.Uint64(buf[at+12:]), subject: string(r.subject),
				header: bytes.Clone(r.header), data: bytes.Clone(r.data),
			})
			at += r.size
		})
		if end != len(buf) {
			t.Fatalf("block %d is read up to %d of %d", n, end, len(buf))
		}
	}
	return all
}

// writeStore puts messages in place of those that are there, so many a block, as
// somebody would who knows how the server writes. The index goes.
func writeStore(t testing.TB, dir string, all []written, perBlock int) {
	t.Helper()
	s := storeOf(t, dir, events.Ledger)
	for _, n := range s.blocks {
		ok(t, os.Remove(s.blockPath(n)))
	}
	if err := os.Remove(filepath.Join(s.dir, msgsDir, indexFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for n := uint32(1); len(all) > 0; n++ {
		b, err := newBlock(s.name, n, nil)
		ok(t, err)
		some := all[:min(perBlock, len(all))]
		for _, w := range some {
			b.buf = append(b.buf, b.encode(w)...)
		}
		ok(t, os.WriteFile(s.blockPath(n), b.buf, 0o600))
		all = all[len(some):]
	}
}

func (b *block) encode(w written) []byte {
	body := []byte(w.subject)
	size := uint32(0)
	if len(w.header) > 0 {
		size = headersBit
		body = binary.LittleEndian.AppendUint32(body, uint32(len(w.header)))
		body = append(body, w.header...)
	}
	body = append(body, w.data...)
	size |= uint32(recordHead + len(body) + recordSum)
	rec := binary.LittleEndian.AppendUint32(nil, size)
	rec = binary.LittleEndian.AppendUint64(rec, w.sequence)
	rec = binary.LittleEndian.AppendUint64(rec, w.time)
	rec = binary.LittleEndian.AppendUint16(rec, uint16(len(w.subject)))
	rec = append(rec, body...)
	return append(rec, b.checksum(rec[4:20], []byte(w.subject), w.header, w.data)...)
}

// renumber closes gaps: each message takes the next sequence.
func renumber(all []written) []written {
	for i := range all {
		all[i].sequence = uint64(i + 1)
	}
	return all
}

// withoutHeaders is how a store looks that somebody published anew.
func withoutHeaders(all []written) []written {
	for i := range all {
		all[i].header = nil
	}
	return all
}

func decoded(t testing.TB, w written) events.Stored {
	t.Helper()
	e, err := events.Decode(w.data, w.sequence)
	ok(t, err)
	return e
}

// edit changes an event so that it still is one.
func edit(t testing.TB, w *written) {
	t.Helper()
	e := decoded(t, *w).Event
	e.By = "person:somebody-else"
	raw, err := json.Marshal(e)
	ok(t, err)
	w.data = raw
}

// rechain makes the events of an intercom after sequence i follow each other again.
func rechain(t testing.TB, all []written, i int) {
	t.Helper()
	before := decoded(t, all[i])
	for j := i + 1; j < len(all); j++ {
		e := decoded(t, all[j])
		if e.Intercom != before.Intercom {
			continue
		}
		e.Prev = before.Hash
		raw, err := e.Encode()
		ok(t, err)
		all[j].data = raw
		before = decoded(t, all[j])
	}
}
