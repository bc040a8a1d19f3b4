package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// How a block file of a stream lies on the disk, as the server's file store
// writes it: records one after another, each
//
//	size 4 (top bit: has headers) | sequence 8 | time 8 | subject size 2 | body | checksum 8
//
// A sequence with the erased bit is a record whose body was overwritten, one
// with the deleted bit a note that the message of that sequence is deleted. Only
// records whose checksum holds are read, so that a server that lays them out
// otherwise makes Scrub do nothing and say so.
const (
	recordHead  = 22
	recordSum   = 8
	recordLeast = recordHead + recordSum
	headersBit  = 1 << 31
	erasedBit   = 1 << 63
	deletedBit  = 1 << 62
)

// record is one record of a block.
type record struct {
	at, size int
	seq      uint64 // with its bits
	ts       int64
}

// deletion is what a deletion note and the message it deletes have in common.
type deletion struct {
	seq uint64
	ts  int64
}

// block is the content of one block file.
type block struct {
	buf []byte
	sum hash.Hash
}

func newBlock(index uint32, buf []byte) (*block, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", KeysStream, index))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		return nil, err
	}
	return &block{buf: buf, sum: sum}, nil
}

// records hands over every record up to the first unreadable byte and tells
// where that is; the length of the block means that all was read.
func (b *block) records(each func(record)) (read int) {
	for read < len(b.buf) {
		r, ok := b.record(read)
		if !ok {
			return read
		}
		each(r)
		read += r.size
	}
	return read
}

func (b *block) record(at int) (record, bool) {
	rest := b.buf[at:]
	if len(rest) < recordLeast {
		return record{}, false
	}
	size := binary.LittleEndian.Uint32(rest)
	hasHeaders := size&headersBit != 0
	size &^= headersBit
	if size < recordLeast || uint64(size) > uint64(len(rest)) {
		return record{}, false
	}
	r := record{
		at: at, size: int(size),
		seq: binary.LittleEndian.Uint64(rest[4:]),
		ts:  int64(binary.LittleEndian.Uint64(rest[12:])),
	}
	return r, b.holds(rest[:size], hasHeaders)
}

// holds checks a record's checksum. It leaves out the four bytes that say how
// long the headers are, as the server does.
func (b *block) holds(rec []byte, hasHeaders bool) bool {
	subject := int(binary.LittleEndian.Uint16(rec[20:]))
	body, sum := rec[recordHead:len(rec)-recordSum], rec[len(rec)-recordSum:]
	skip := 0
	if hasHeaders {
		skip = 4
	}
	if subject+skip > len(body) {
		return false
	}
	return string(b.checksum(rec[4:20], body[:subject], body[subject+skip:])) == string(sum)
}

func (b *block) checksum(parts ...[]byte) []byte {
	b.sum.Reset()
	for _, p := range parts {
		b.sum.Write(p)
	}
	return b.sum.Sum(nil)
}

// erase makes of a message's record what the server's secure delete makes of it:
// the same size and sequence, marked erased, with a random body.
func (b *block) erase(r record) {
	rec := b.buf[r.at : r.at+r.size]
	binary.LittleEndian.PutUint32(rec, uint32(r.size))
	binary.LittleEndian.PutUint64(rec[4:], r.seq|erasedBit)
	clear(rec[12:recordHead])
	body := rec[recordHead : len(rec)-recordSum]
	rand.Read(body) // never fails
	copy(rec[len(rec)-recordSum:], b.checksum(rec[4:20], body))
}
