// Package journal is what an intercom keeps on its own disk: the attempts that
// the ledger has not settled, the last view it had, and the codes that it was
// told are revoked.
//
// In come the steps of an attempt, in order; out comes, after any crash, which
// step each unsettled attempt had reached. It is one bbolt file, journal.db, in
// the state folder, and belongs to one process at a time.
//
// What always holds:
//   - a method that returned nil has its effect on disk, fsynced; after an error
//     the effect is not known to be there, and nothing may rest on it (law 3)
//   - Opening is on disk before the gate is told (law 4), and steps go forward
//     only: an attempt found at Asked was never told to the gate, one at Opening
//     may have been, one at Told was, with the outcome kept here
//   - what cannot be read as it was written is ErrDamaged, never a wrong answer
//     and never a panic: the file is checked before bbolt maps it, and every
//     record carries its SHA-256
//   - digits, names and mobiles have no field here
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	fileName = "journal.db"
	// sizeMost is far above what the bounds on attempts and table add up to; it
	// bounds the reading at open.
	sizeMost = 256 << 20
	// pendingMost is how many attempts are kept.
	pendingMost = 10_000
)

// Names in the file: never renamed.
const (
	bucketAttempts   = "attempts"
	bucketTombstones = "tombstones"
	bucketOwn        = "own"

	keyIdentity = "identity"
	keySequence = "sequence"
	keyDropped  = "dropped"
	keyTable    = "table"
)

// buckets is every bucket of the file. A file that lacks one was not made here,
// or has rotted.
func buckets() []string { return []string{bucketAttempts, bucketOwn, bucketTombstones} }

// Journal is an open state folder. It is safe for concurrent use; calls follow
// one another.
type Journal struct {
	dir  string
	path string
	most int // attempts kept

	mu     sync.Mutex // one call at a time; owns what follows
	lock   *os.File
	db     *bolt.DB
	rotten error // set once bbolt has panicked; its own locks may be held for ever
}

// Open opens the state folder, makes it if missing, and takes it for this
// process. The file is read whole and checked before it is used.
func Open(dir string) (_ *Journal, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("lock state folder [%s]: %w", dir, err)
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	j := &Journal{dir: dir, path: filepath.Join(dir, fileName), most: pendingMost, lock: lock}
	if err := j.ensure(); err != nil {
		return nil, err
	}
	if err := inspect(j.path); err != nil {
		return nil, j.damaged(err)
	}
	if err := j.guard(j.attach); err != nil {
		return nil, err
	}
	return j, nil
}

// ensure makes the file where there is none: whole, under another name, then
// renamed. A crash leaves either no journal.db or a complete one; what it left
// under the other name goes here.
func (j *Journal) ensure() error {
	_, err := os.Lstat(j.path)
	if err == nil {
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("find journal: %w", err)
	}
	fresh := j.path + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("clear journal: %w", err)
	}
	if err := create(fresh); err != nil {
		return fmt.Errorf("make journal [%s]: %w", fresh, err)
	}
	if err := os.Rename(fresh, j.path); err != nil {
		return fmt.Errorf("place journal: %w", err)
	}
	// Until both folders are synced a power cut can take the file, or the state
	// folder itself, with everything that was said to be in it.
	if err := syncFolder(j.dir); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(filepath.Clean(j.dir)))
}

func create(path string) error {
	db, err := bolt.Open(path, 0o600, options())
	if err != nil {
		return err
	}
	return errors.Join(db.Update(furnish), db.Close())
}

// furnish also stores every key of our own, so that a missing one is damage and
// not "never stored".
func furnish(tx *bolt.Tx) error {
	for _, name := range buckets() {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	zero := make([]byte, 8)
	return errors.Join(
		put(tx, bucketOwn, keyIdentity, nil),
		put(tx, bucketOwn, keyTable, nil),
		put(tx, bucketOwn, keySequence, zero),
		put(tx, bucketOwn, keyDropped, zero),
	)
}

func options() *bolt.Options {
	// The folder's lock is ours already: bbolt's own, which a tool that looks into
	// the file may hold, is not waited for.
	return &bolt.Options{Timeout: 1, MaxSize: sizeMost, NoStatistics: true}
}

// attach hands the checked file to bbolt.
func (j *Journal) attach() error {
	if err := os.Chmod(j.path, 0o600); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	db, err := bolt.Open(j.path, 0o600, options())
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("open journal [%s]: %w", j.path, ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("open journal [%s]: %w", j.path, err)
	}
	j.db = db
	return nil
}

// Close gives the folder back. Nothing waits to be written.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	// After a panic bbolt may hold its own locks, and closing would wait for
	// ever: what it holds ends with the process.
	if j.db != nil && j.rotten == nil {
		err = j.db.Close()
	}
	j.db = nil
	if err := errors.Join(err, j.lock.Close()); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// update runs fn and syncs what it changed. An error leaves nothing of it, or,
// where the disk failed, no knowing.
func (j *Journal) update(fn func(*bolt.Tx) error) error {
	return j.use(func(db *bolt.DB) error { return db.Update(fn) })
}

func (j *Journal) view(fn func(*bolt.Tx) error) error {
	return j.use(func(db *bolt.DB) error { return db.View(fn) })
}

func (j *Journal) use(fn func(*bolt.DB) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.rotten != nil {
		return j.rotten
	}
	if j.db == nil {
		return ErrClosed
	}
	err := j.guard(func() error { return fn(j.db) })
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case errors.Is(err, ErrDamaged) && j.rotten == nil:
		return fmt.Errorf("%w [%s]", err, j.path)
	}
	return err
}

// guard turns a panic, and a fault in the mapped file (a page that the disk can
// no longer read), into ErrDamaged for this call and every later one.
func (j *Journal) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			j.rotten = j.damaged(fmt.Errorf("%v", p))
			err = j.rotten
		}
	}()
	return fn()
}

// next number of a counter, which is never used again, also after a restart.
func next(tx *bolt.Tx, key string) (uint64, error) {
	n, err := counter(tx, key)
	if err != nil {
		return 0, err
	}
	n++
	return n, put(tx, bucketOwn, key, binary.BigEndian.AppendUint64(nil, n))
}

func counter(tx *bolt.Tx, key string) (uint64, error) {
	raw, err := own(tx, key)
	if err != nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, fmt.Errorf("%w [%s]", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(raw), nil
}
