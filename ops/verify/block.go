package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats.go/jetstream"
)

// How a block file of a stream lies on the disk, as the server's file store
// writes it: records one after another, each
//
//	size 4 (top bit: has headers) | sequence 8 | time 8 | subject size 2 | body | checksum 8
//
// and the body is subject, headers (their size 4, then they) and data. The
// checksum leaves out the three sizes, so these are held against what they
// enclose. A sequence with one of its two top bits is no message: the record was
// erased, or notes that the message of that sequence is deleted.
const (
	recordHead = 22
	recordSum  = 8
	recordMost = 32 << 20
	headersBit = 1 << 31
	erasedBit  = 1 << 63
	deletedBit = 1 << 62
)

// record is one record of a block. Its bytes are the block's.
type record struct {
	sequence         uint64
	erased, deletion bool
	subject          []byte
	header           []byte
	data             []byte
	size             int
}

// block is the content of one block file.
type block struct {
	index uint32
	buf   []byte
	sum   hash.Hash
}

func newBlock(stream string, index uint32, buf []byte) (*block, error) {
	sum, err := newSum(fmt.Sprintf("%s-%d", stream, index))
	if err != nil {
		return nil, err
	}
	return &block{index: index, buf: buf, sum: sum}, nil
}

// newSum is the server's checksum, keyed by what it is of.
func newSum(of string) (hash.Hash, error) {
	key := sha256.Sum256([]byte(of))
	return highwayhash.New64(key[:])
}

// record reads the record that begins at a byte. It is not ok where any bit of it
// is not as it was written.
func (b *block) record(at int) (r record, ok bool) {
	rec, hasHeaders, ok := b.cut(at)
	if !ok || !b.holds(rec, hasHeaders) {
		return record{}, false
	}
	sequence := binary.LittleEndian.Uint64(rec[4:])
	subject := int(binary.LittleEndian.Uint16(rec[20:]))
	body := rec[recordHead : len(rec)-recordSum]
	r = record{
		sequence: sequence &^ (erasedBit | deletedBit), erased: sequence&erasedBit != 0, deletion: sequence&deletedBit != 0,
		subject: body[:subject], data: body[subject:], size: len(rec),
	}
	if hasHeaders {
		r.header, r.data, ok = splitHeader(r.data)
	}
	return r, ok
}

// cut gives the bytes of the record that begins at a byte, as far as its sizes
// can be believed.
func (b *block) cut(at int) (rec []byte, hasHeaders, ok bool) {
	rest := b.buf[at:]
	if len(rest) < recordHead+recordSum {
		return nil, false, false
	}
	size := binary.LittleEndian.Uint32(rest)
	hasHeaders = size&headersBit != 0
	size &^= headersBit
	least := recordHead + recordSum + uint32(binary.LittleEndian.Uint16(rest[20:]))
	if hasHeaders {
		least += 4
	}
	if size < least || size > recordMost || uint64(size) > uint64(len(rest)) {
		return nil, false, false
	}
	return rest[:size], hasHeaders, true
}

func (b *block) holds(rec []byte, hasHeaders bool) bool {
	subject := int(binary.LittleEndian.Uint16(rec[20:]))
	body := rec[recordHead : len(rec)-recordSum]
	rest := body[subject:]
	if hasHeaders {
		rest = rest[4:]
	}
	return bytes.Equal(b.checksum(rec[4:20], body[:subject], rest), rec[len(rec)-recordSum:])
}

func (b *block) checksum(parts ...[]byte) []byte {
	b.sum.Reset()
	for _, p := range parts {
		b.sum.Write(p)
	}
	return b.sum.Sum(nil)
}

func splitHeader(body []byte) (header, data []byte, ok bool) {
	size := binary.LittleEndian.Uint32(body)
	body = body[4:]
	if uint64(size) > uint64(len(body)) {
		return nil, nil, false
	}
	header, data = body[:size], body[size:]
	return header, data, bytes.HasSuffix(header, []byte("\r\n\r\n"))
}

// fence is the sequence that the message had to follow when it was stored.
func (r record) fence() (sequence uint64, ok bool) {
	_, after, ok := bytes.Cut(r.header, []byte("\r\n"+jetstream.ExpectedLastSubjSeqHeader+":"))
	if !ok {
		return 0, false
	}
	value, _, _ := bytes.Cut(after, []byte("\r\n"))
	sequence, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
	return sequence, err == nil
}
