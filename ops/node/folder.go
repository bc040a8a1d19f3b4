package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	lockName    = "lock"
	addressName = "address.json"
)

// ErrInUse is what OpenFolder gives where another process holds the folder.
var ErrInUse = errors.New("data folder is in use")

// Folder is the data folder of one ledger, held by this process until Close.
type Folder struct {
	dir  string
	lock *os.File

	once     sync.Once
	closeErr error
}

// Address says where the ledger of a folder is reached, and by which process.
type Address struct {
	NATS string `json:"nats"`
	HTTP string `json:"http"`
	PID  int    `json:"pid"`
}

// OpenFolder makes dir if it is missing, closes it to others (0700) and takes
// its lock; ErrInUse where another process has it. The kernel lets go of the
// lock when a process ends, however it ends.
func OpenFolder(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if err := makePrivate(dir); err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	f := &Folder{dir: dir, lock: lock}
	// An address from before is that of a process which was killed.
	if err := f.removeAddress(); err != nil {
		return nil, errors.Join(fmt.Errorf("open data folder: %w", err), lock.Close())
	}
	return f, nil
}

// Dir is the folder's absolute path.
func (f *Folder) Dir() string { return f.dir }

// Path is where the folder keeps the file of that name.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, name) }

// WriteAddress says where this process is reached, until Close.
func (f *Folder) WriteAddress(a Address) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write address: %w", err)
	}
	return WriteSecret(f.Path(addressName), append(data, '\n'))
}

// Close removes the address and lets go of the lock. The lock file stays:
// removing it would let two processes lock two files of the same name.
func (f *Folder) Close() error {
	f.once.Do(func() {
		f.closeErr = errors.Join(f.removeAddress(), f.lock.Close())
	})
	return f.closeErr
}

func (f *Folder) removeAddress() error {
	if err := os.Remove(f.Path(addressName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadAddress finds the process that serves dir; fs.ErrNotExist where none does.
// After a kill the address may be that of a process which is no more.
func ReadAddress(dir string) (Address, error) {
	var a Address
	data, err := os.ReadFile(filepath.Join(dir, addressName))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no ledger is running on %s, start it with gatebook serve --data %s: %w", dir, dir, err)
	}
	if err != nil {
		return a, fmt.Errorf("read address: %w", err)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("read address: %s: %w", addressName, err)
	}
	return a, nil
}

func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close the folder to others, as its owner run chmod 700: %w", err)
	}
	return nil
}

func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, inUse(dir)
	}
	return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
}

// inUse names the holder as far as it has said who it is: between taking the
// lock and writing its address it has not.
func inUse(dir string) error {
	a, err := ReadAddress(dir)
	if err != nil || a.PID == 0 {
		return fmt.Errorf("%s: %w by another process, stop it first", dir, ErrInUse)
	}
	return fmt.Errorf("%s: %w by process %d, stop it first or use it with --data", dir, ErrInUse, a.PID)
}
