package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// A record is stored as SHA-256(bucket, key, value) and then the value. bbolt
// has no checksum on what it keeps, so without this a flipped byte would be
// believed; bucket and key are in it so that a value cannot pass for another's.

func sum(bucket string, key, value []byte) []byte {
	h := sha256.New()
	var n [4]byte
	for _, part := range [][]byte{[]byte(bucket), key} {
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	h.Write(value)
	return h.Sum(nil)
}

func put(tx *bolt.Tx, bucket, key string, value []byte) error {
	k := []byte(key)
	return tx.Bucket([]byte(bucket)).Put(k, append(sum(bucket, k, value), value...))
}

// get copies: what bbolt hands out ends with the transaction. Nothing stored is
// nil.
func get(tx *bolt.Tx, bucket, key string) ([]byte, error) {
	k := []byte(key)
	raw := tx.Bucket([]byte(bucket)).Get(k)
	if raw == nil {
		return nil, nil
	}
	return unseal(bucket, k, raw)
}

// own is a record that every journal has from the beginning.
func own(tx *bolt.Tx, key string) ([]byte, error) {
	raw, err := get(tx, bucketOwn, key)
	if err == nil && raw == nil {
		return nil, fmt.Errorf("%w [%s is missing]", ErrDamaged, key)
	}
	return raw, err
}

func unseal(bucket string, key, raw []byte) ([]byte, error) {
	if len(raw) < sha256.Size || !bytes.Equal(raw[:sha256.Size], sum(bucket, key, raw[sha256.Size:])) {
		return nil, fmt.Errorf("%w [a record in %s]", ErrDamaged, bucket)
	}
	return append([]byte{}, raw[sha256.Size:]...), nil
}

// each visits every record of a bucket in the order of keys. A damaged one does
// not hide the others: it is skipped and reported at the end.
func each(tx *bolt.Tx, bucket string, visit func(key string, value []byte) error) error {
	var damaged error
	err := tx.Bucket([]byte(bucket)).ForEach(func(k, raw []byte) error {
		value, err := unseal(bucket, k, raw)
		if err != nil {
			damaged = err
			return nil
		}
		return visit(string(k), value)
	})
	if err != nil {
		return err
	}
	return damaged
}
