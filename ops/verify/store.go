package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The files of a stream's folder, as the server names them.
const (
	metaFile  = "meta.inf"
	metaSum   = "meta.sum"
	metaKey   = "meta.key"
	msgsDir   = "msgs"
	indexFile = "index.db"
	blockEnd  = ".blk"
)

// store is the folder of one stream, which nobody writes.
type store struct {
	name   string
	dir    string
	blocks []uint32 // the indexes of the block files, in order
	index  index
	// metaWell says that what is written of the stream's settings has its checksum.
	metaWell bool
	// damaged says that a scan met a record that is not as it was written.
	damaged bool
}

// index is what the server noted of the blocks when it last stopped or, while it
// ran, every other minute. It can be made anew from them.
type index struct {
	damaged bool
	last    uint64 // the stream's last sequence then
	// fresh: it was written after the last record was. Where it was not, the
	// server was killed, and the last record may be torn.
	fresh bool
}

// findStores gives the folders of all streams under a server's store.
func findStores(dir string) ([]*store, error) {
	found, err := fs.Glob(os.DirFS(dir), "jetstream/*/streams/*/"+msgsDir)
	if err != nil {
		return nil, fmt.Errorf("find streams: %w", err)
	}
	var stores []*store
	for _, name := range found {
		d := filepath.Join(dir, filepath.Dir(filepath.FromSlash(name)))
		if strings.HasPrefix(filepath.Base(d), ".") { // the server was deleting it
			continue
		}
		s, err := openStore(d)
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", filepath.Base(d), err)
		}
		stores = append(stores, s)
	}
	return stores, nil
}

func openStore(dir string) (*store, error) {
	s := &store{name: filepath.Base(dir), dir: dir}
	if _, err := os.Stat(filepath.Join(dir, metaKey)); err == nil {
		return nil, errors.New("it is encrypted, which gatebook never asks for")
	}
	for _, step := range []func() error{s.listBlocks, s.readMeta, s.readIndex} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *store) listBlocks() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, msgsDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		stem, isBlock := strings.CutSuffix(e.Name(), blockEnd)
		if n, err := strconv.ParseUint(stem, 10, 32); isBlock && err == nil {
			s.blocks = append(s.blocks, uint32(n))
		}
	}
	slices.Sort(s.blocks)
	return nil
}

func (s *store) readMeta() error {
	meta, err := s.read(metaFile)
	if err != nil {
		return err
	}
	sum, err := s.read(metaSum)
	if err != nil {
		return err
	}
	h, err := newSum(s.name)
	if err != nil {
		return err
	}
	h.Write(meta)
	s.metaWell = len(meta) > 0 && hex.EncodeToString(h.Sum(nil)) == string(sum)
	return nil
}

// read gives a file's content, nothing where there is no file.
func (s *store) read(name string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// readIndex takes an index for damaged unless it may be one that a kill cut off.
func (s *store) readIndex() error {
	raw, err := s.read(filepath.Join(msgsDir, indexFile))
	if err != nil || len(raw) == 0 {
		return err
	}
	h, err := newSum(s.name)
	if err != nil {
		return err
	}
	end := len(raw) - recordSum
	if end > 2*recordSum {
		h.Write(raw[:end])
	}
	if end <= 2*recordSum || !bytes.Equal(h.Sum(nil), raw[end:]) {
		s.index.damaged = !cutOff(raw)
		return nil
	}
	s.index.last = lastOfIndex(raw[2:end])
	tail, err := s.tail()
	s.index.fresh = err == nil && bytes.Equal(tail, raw[end-recordSum:end])
	return err
}

// cutOff: a file that was not written to its end stops at a page, or has zeros
// from there on.
func cutOff(raw []byte) bool {
	const page = 4096
	return len(raw)%page == 0 || isZero(raw[max(0, len(raw)-recordSum):])
}

// lastOfIndex reads the stream's last sequence: it begins with messages, bytes,
// first sequence, first time and last sequence.
func lastOfIndex(raw []byte) (last uint64) {
	for range 5 {
		n := 0
		if last, n = binary.Uvarint(raw); n <= 0 {
			return 0
		}
		raw = raw[n:]
	}
	return last
}

// tail is the last bytes of the last block: the last record's checksum.
func (s *store) tail() ([]byte, error) {
	if len(s.blocks) == 0 {
		return nil, nil
	}
	f, err := os.Open(s.blockPath(s.blocks[len(s.blocks)-1]))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < recordSum {
		return nil, err
	}
	tail := make([]byte, recordSum)
	_, err = f.ReadAt(tail, info.Size()-recordSum)
	return tail, err
}

func (s *store) blockPath(index uint32) string {
	return filepath.Join(s.dir, msgsDir, blockName(index))
}

func blockName(index uint32) string { return strconv.FormatUint(uint64(index), 10) + blockEnd }

// stop is where a scan could not go on.
type stop struct {
	block uint32
	at    int // the byte in the block file
	// torn: this is how a power cut leaves a record that was being written.
	torn bool
}

// scan hands over every record, up to the first that cannot be read. It is nil
// where all were read.
func (s *store) scan(ctx context.Context, each func(record)) (*stop, error) {
	for i, n := range s.blocks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		buf, err := os.ReadFile(s.blockPath(n))
		if err != nil {
			return nil, err
		}
		b, err := newBlock(s.name, n, buf)
		if err != nil {
			return nil, err
		}
		if at := b.each(each); at < len(buf) {
			torn := i == len(s.blocks)-1 && !s.index.fresh && b.torn(at)
			s.damaged = !torn
			return &stop{block: n, at: at, torn: torn}, nil
		}
	}
	return nil, nil
}

// each hands over the records and tells where it could not read on.
func (b *block) each(f func(record)) (at int) {
	for at < len(b.buf) {
		r, ok := b.record(at)
		if !ok {
			return at
		}
		f(r)
		at += r.size
	}
	return at
}

// torn reports whether what begins at a byte may be a record that was never
// written to its end: it is too short or ends in zeros, and nothing follows it.
func (b *block) torn(at int) bool {
	rest := b.buf[at:]
	if rec, _, ok := b.cut(at); ok && !isZero(rec[len(rec)-recordSum:]) {
		return false
	}
	for next := 1; next < len(rest); next++ {
		if b.mayBegin(at + next) {
			if _, ok := b.record(at + next); ok {
				return false
			}
		}
	}
	return true
}

// mayBegin is cheap, to be asked for every byte: is there the head of a record
// with a sequence and a time that can be?
func (b *block) mayBegin(at int) bool {
	rest := b.buf[at:]
	if len(rest) < recordHead {
		return false
	}
	sequence := binary.LittleEndian.Uint64(rest[4:]) &^ (erasedBit | deletedBit)
	year := binary.LittleEndian.Uint64(rest[12:]) / (365 * 24 * 3600 * 1e9)
	return sequence < 1<<48 && year < 200
}

func isZero(b []byte) bool {
	return len(bytes.Trim(b, "\x00")) == 0
}
