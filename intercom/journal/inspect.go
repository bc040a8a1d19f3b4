package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
)

// inspect reads the file before bbolt maps it. bbolt trusts what it finds there:
// a flipped byte can send it outside of the map, round a circle of pages until
// the stack ends, or after more memory than there is, and none of these can be
// recovered from; its own Check walks the same way. Here everything is bounded
// by the bytes that were read.
//
// It is stricter than bbolt, so that a flipped byte is found and not only
// survived: both meta pages must be valid (bbolt would take the older one and so
// forget the last thing that was kept; a torn write cannot explain it, the page
// is one sector), and the records of a page must lie end to end, as bbolt writes
// them, so that none can vanish by a smaller count.
func inspect(path string) error {
	raw, err := readFile(path)
	if err != nil {
		return err
	}
	im, err := newImage(raw)
	if err != nil {
		return err
	}
	if err := im.freelist(); err != nil {
		return err
	}
	if err := im.root(); err != nil {
		return err
	}
	return im.accounted()
}

func readFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > sizeMost {
		return nil, fmt.Errorf("not a journal: %s, %d bytes", info.Mode(), info.Size())
	}
	return os.ReadFile(path)
}

// The layout of a bbolt file, version 2. Numbers are in the machine's own order.
const (
	magic   = 0xED0CDAED
	version = 2

	headerSize  = 16 // page id u64, flags u16, count u16, overflow u32
	elementSize = 16
	bucketSize  = 16 // root page u64, sequence u64

	metaSize    = 64
	metaSummed  = 56
	metaPage    = 8 // offsets in the meta
	metaRoot    = 16
	metaFree    = 32
	metaHigh    = 40
	metaTx      = 48
	metaSum     = 56
	flagBranch  = 0x01
	flagLeaf    = 0x02
	flagMeta    = 0x04
	flagFree    = 0x10
	countInside = 0xFFFF // a freelist's true count is its first entry

	leafBucket = 0x01
)

func u16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
func u32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
func u64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// image is the file as read.
type image struct {
	raw  []byte
	page int    // size
	high uint64 // pages in use are below this
	meta []byte // the newer of the two
	seen []bool // pages that something refers to
}

func newImage(raw []byte) (*image, error) {
	if len(raw) < headerSize+metaSize {
		return nil, errors.New("too short")
	}
	size := int(u32(raw[headerSize+metaPage:]))
	if size < 1<<10 || size > 64<<10 || size&(size-1) != 0 || len(raw) < 2*size {
		return nil, fmt.Errorf("page size %d in %d bytes", size, len(raw))
	}
	im := &image{raw: raw, page: size}
	for id := range 2 {
		if err := im.readMeta(id); err != nil {
			return nil, err
		}
	}
	im.high = u64(im.meta[metaHigh:])
	if im.high < 4 || im.high > uint64(len(raw)/size) {
		return nil, fmt.Errorf("cut short: %d pages, %d in use", len(raw)/size, im.high)
	}
	im.seen = make([]bool, im.high)
	im.seen[0], im.seen[1] = true, true
	return im, nil
}

func (im *image) readMeta(id int) error {
	at := im.raw[id*im.page:]
	m := at[headerSize : headerSize+metaSize]
	h := fnv.New64a()
	h.Write(m[:metaSummed])
	switch {
	case u64(at) != uint64(id) || u16(at[8:]) != flagMeta:
		return fmt.Errorf("page %d is no meta page", id)
	case u32(m) != magic || u32(m[4:]) != version:
		return fmt.Errorf("page %d is of no known format", id)
	case u64(m[metaSum:]) != h.Sum64():
		return fmt.Errorf("page %d: the checksum does not match", id)
	case u32(m[metaPage:]) != uint32(im.page):
		return fmt.Errorf("page %d: another page size", id)
	}
	if im.meta == nil || u64(m[metaTx:]) > u64(im.meta[metaTx:]) {
		im.meta = m
	}
	return nil
}

// claim is a page with what overflows it, taken by whoever refers to it; nobody
// else may.
func (im *image) claim(id uint64) (page, error) {
	if id < 2 || id >= im.high {
		return page{}, fmt.Errorf("page %d is outside of the file", id)
	}
	at := im.raw[id*uint64(im.page):]
	more := uint64(u32(at[12:]))
	if u64(at) != id || more >= im.high-id {
		return page{}, fmt.Errorf("page %d: the header does not fit", id)
	}
	for i := id; i <= id+more; i++ {
		if im.seen[i] {
			return page{}, fmt.Errorf("page %d belongs to two", i)
		}
		im.seen[i] = true
	}
	return readPage(at[:(more+1)*uint64(im.page)])
}

// freelist takes the list and each page on it.
func (im *image) freelist() error {
	p, err := im.claim(u64(im.meta[metaFree:]))
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	ids := p.raw[headerSize:]
	n := uint64(p.count)
	if n == countInside {
		n, ids = u64(ids), ids[8:]
	}
	if p.flags != flagFree || n > uint64(len(ids)/8) {
		return errors.New("free list: malformed")
	}
	for i := range n {
		id := u64(ids[8*i:])
		if id < 2 || id >= im.high || im.seen[id] {
			return fmt.Errorf("free list: page %d is in use", id)
		}
		im.seen[id] = true
	}
	return nil
}

func (im *image) root() error {
	var found []string
	err := im.tree(u64(im.meta[metaRoot:]), func(e element) error {
		found = append(found, string(e.key))
		if e.flags != leafBucket {
			return errors.New("a record outside of the buckets")
		}
		return im.bucket(e.value)
	})
	if err != nil {
		return err
	}
	if !slices.Equal(found, buckets()) {
		return errors.New("the buckets are not those of a journal")
	}
	return nil
}

// bucket is a tree of its own or, where small, a page inside the value.
func (im *image) bucket(value []byte) error {
	record := func(e element) error {
		if e.flags != 0 {
			return errors.New("a bucket inside a bucket")
		}
		return nil
	}
	if len(value) < bucketSize {
		return errors.New("bucket: too short")
	}
	if root := u64(value); root != 0 {
		return im.tree(root, record)
	}
	p, err := readPage(value[bucketSize:])
	if err != nil {
		return fmt.Errorf("inline bucket: %w", err)
	}
	if p.flags != flagLeaf {
		return errors.New("inline bucket: not a leaf")
	}
	w := walk{im: im, visit: record}
	return w.elements(p)
}

func (im *image) tree(root uint64, visit func(element) error) error {
	w := walk{im: im, visit: visit}
	return w.page(root)
}

// accounted: each page is in use or free.
func (im *image) accounted() error {
	if id := slices.Index(im.seen, false); id >= 0 {
		return fmt.Errorf("page %d is neither used nor free", id)
	}
	return nil
}

// walk goes through one tree from left to right. Pages are claimed on the way,
// so it ends.
type walk struct {
	im    *image
	visit func(element) error
	last  []byte // the key that the next one must be above
	floor bool   // or equal to, where a branch announced it
}

func (w *walk) page(id uint64) error {
	p, err := w.im.claim(id)
	if err != nil {
		return err
	}
	if p.flags == flagBranch && p.count == 0 {
		return fmt.Errorf("page %d: an empty branch", id)
	}
	if err := w.elements(p); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

func (w *walk) elements(p page) error {
	if p.flags != flagLeaf && p.flags != flagBranch {
		return fmt.Errorf("unexpected kind %#x", p.flags)
	}
	at := headerSize + elementSize*int(p.count)
	if at > len(p.raw) {
		return errors.New("more elements than fit")
	}
	if p.count == 0 && len(bytes.TrimLeft(p.raw[at:], "\x00")) != 0 {
		return errors.New("empty, with something in it")
	}
	for i := range int(p.count) {
		e, end, err := p.element(i, at)
		if err != nil {
			return err
		}
		at = end
		if err := w.step(e.key, p.flags == flagBranch); err != nil {
			return err
		}
		if p.flags == flagBranch {
			err = w.page(e.child)
		} else {
			err = w.visit(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) step(key []byte, branch bool) error {
	c := bytes.Compare(w.last, key)
	if len(key) == 0 || c > 0 || (c == 0 && !w.floor) {
		return errors.New("keys out of order")
	}
	w.last, w.floor = key, branch
	return nil
}

type page struct {
	flags, count uint16
	raw          []byte
}

func readPage(raw []byte) (page, error) {
	if len(raw) < headerSize {
		return page{}, errors.New("too short for a page")
	}
	return page{flags: u16(raw[8:]), count: u16(raw[10:]), raw: raw}, nil
}

type element struct {
	flags      uint32
	child      uint64
	key, value []byte
}

// element reads number i, whose data must begin at start; end is where the next
// one's begins.
func (p page) element(i, start int) (e element, end int, err error) {
	offset := headerSize + elementSize*i
	h := p.raw[offset : offset+elementSize]
	var at, keySize, valueSize uint32
	if p.flags == flagBranch {
		at, keySize, e.child = u32(h), u32(h[4:]), u64(h[8:])
	} else {
		e.flags, at, keySize, valueSize = u32(h), u32(h[4:]), u32(h[8:]), u32(h[12:])
	}
	length := int64(keySize) + int64(valueSize)
	if int64(offset)+int64(at) != int64(start) || length > int64(len(p.raw)-start) {
		return e, 0, fmt.Errorf("element %d does not fit", i)
	}
	end = start + int(length)
	e.key, e.value = p.raw[start:start+int(keySize)], p.raw[start+int(keySize):end]
	return e, end, nil
}
