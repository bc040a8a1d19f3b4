package journal

import (
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

// tableMost is above what the largest intercom (1,000 codes) needs.
const tableMost = 16 << 20

// Identity ties the folder to one intercom: the first call stores the id, each
// later one must name the same.
func (j *Journal) Identity(intercom string) error {
	if intercom == "" || len(intercom) > 63 {
		return fmt.Errorf("keep identity: malformed intercom id [%d bytes]", len(intercom))
	}
	err := j.update(func(tx *bolt.Tx) error {
		stored, err := own(tx, keyIdentity)
		if err != nil {
			return err
		}
		if len(stored) == 0 {
			return put(tx, bucketOwn, keyIdentity, []byte(intercom))
		}
		if string(stored) != intercom {
			return fmt.Errorf("%w [folder %s is %q, asked for %q]; next: give each intercom a state folder of its own",
				ErrIdentity, j.dir, stored, intercom)
		}
		return errUnchanged
	})
	return wrap("keep identity", err)
}

// SaveTable keeps the view that the intercom has, in place of the one before.
func (j *Journal) SaveTable(raw []byte) error {
	if len(raw) > tableMost {
		return fmt.Errorf("save table: too large [%d bytes]", len(raw))
	}
	err := j.update(func(tx *bolt.Tx) error { return put(tx, bucketOwn, keyTable, raw) })
	return wrap("save table", err)
}

// LoadTable is the view saved last, empty where none was. After ErrDamaged the
// caller goes on without: the ledger has it all, and the next SaveTable replaces
// what is here.
func (j *Journal) LoadTable() ([]byte, error) {
	var raw []byte
	err := j.view(func(tx *bolt.Tx) (err error) {
		raw, err = own(tx, keyTable)
		return err
	})
	return raw, wrap("read table", err)
}

// Tombstone keeps that a code was seen revoked, so that it stays rejected even
// if the ledger forgets (law 2). The first time given stays.
func (j *Journal) Tombstone(codeID string, at time.Time) error {
	if codeID == "" || len(codeID) > 64 {
		return fmt.Errorf("keep tombstone: %w [code]", ErrMalformed)
	}
	err := j.update(func(tx *bolt.Tx) error {
		// A damaged one is written anew: that the code is revoked is what counts.
		if old, err := get(tx, bucketTombstones, codeID); err == nil && old != nil {
			return errUnchanged
		}
		stamp, err := at.UTC().MarshalText()
		if err != nil {
			return err
		}
		return put(tx, bucketTombstones, codeID, stamp)
	})
	return about("keep tombstone", codeID, err)
}

// Tombstones is every code seen revoked and not forgotten, and when. With
// ErrDamaged comes what could still be read; which code the damaged one was for
// is then unknown.
func (j *Journal) Tombstones() (map[string]time.Time, error) {
	all := make(map[string]time.Time)
	err := j.view(func(tx *bolt.Tx) error {
		return each(tx, bucketTombstones, func(codeID string, raw []byte) error {
			var at time.Time
			if err := at.UnmarshalText(raw); err != nil {
				return fmt.Errorf("read time: %w", err)
			}
			all[codeID] = at
			return nil
		})
	})
	return all, wrap("read tombstones", err)
}

// Forget drops a tombstone, once a person has answered for it.
func (j *Journal) Forget(codeID string) error {
	return about("forget tombstone", codeID, j.remove(bucketTombstones, codeID))
}
