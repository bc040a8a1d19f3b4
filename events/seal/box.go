package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrSealed is what a box or a wrapped key gives that cannot be opened: another
// key, another place, another version, or changed bytes. It does not say which.
var ErrSealed = errors.New("cannot be opened with this key")

// errZeroKey guards against a Key that was never made.
var errZeroKey = errors.New("key is all zeros")

const (
	boxVersion = 1
	nonceSize  = 12
	boxHead    = 1 + nonceSize
)

// Key opens the box of one code, or authenticates one thing.
type Key [32]byte

// NewKey makes a key from 32 bytes of rnd, which is crypto/rand's Reader outside
// of tests.
func NewKey(rnd io.Reader) (Key, error) {
	var k Key
	if _, err := io.ReadFull(rnd, k[:]); err != nil {
		return Key{}, fmt.Errorf("make key: %w", err)
	}
	return k, nil
}

func (k Key) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// enclose gives version, nonce and AES-256-GCM of plain. The nonce is random: a
// key encloses one guest, and the master's wrapping key, at 2^32 codes, reaches
// the point where random nonces want a new one.
func (k Key) enclose(rnd io.Reader, plain, place []byte) ([]byte, error) {
	if k == (Key{}) {
		return nil, errZeroKey
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	box := make([]byte, boxHead, boxHead+len(plain)+aead.Overhead())
	box[0] = boxVersion
	if _, err := io.ReadFull(rnd, box[1:]); err != nil {
		return nil, fmt.Errorf("draw nonce: %w", err)
	}
	return aead.Seal(box, box[1:], plain, place), nil
}

// disclose is the inverse of enclose. Every failure is the bare ErrSealed.
func (k Key) disclose(box, place []byte) ([]byte, error) {
	if len(box) < boxHead || box[0] != boxVersion {
		return nil, ErrSealed
	}
	aead, err := k.aead()
	if err != nil {
		return nil, ErrSealed
	}
	plain, err := aead.Open(nil, box[1:boxHead], box[boxHead:], place)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// bind spells what a box or a derived key is bound to. Every part carries its
// length, so that no two lists of parts spell the same.
func bind(purpose string, parts ...string) []byte {
	out := append([]byte("gatebook/1/"), purpose...)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}
