package barrier

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// FS is a descriptor on the file system that holds a store. It is safe for
// concurrent use, but gains nothing from it: share one Sync among all who wait.
type FS struct {
	dir string

	mu     sync.Mutex // held over syncfs, see Sync; owns the fields below
	fd     int
	failed error // the first error, for ever
	closed bool
}

// Open opens the file system that dir is on. It must come before the store is
// opened: a descriptor is told of the write-back errors that happen after it
// was opened, and of an earlier one only if nobody has been told yet.
func Open(dir string) (*FS, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the file system of %s: %w", dir, err)
	}
	return &FS{dir: dir, fd: fd}, nil
}

// Sync returns nil when everything that was written to the file system before
// the call is on the disk. After its first error it returns that error always:
// what was lost stays lost, though the kernel would call the next one a success.
//
// Calls run one after the other. The kernel gives a write-back error to
// whichever caller asks first, so of two at once the second could be told that
// all is well while the first is still on its way back with the error.
//
// A crash during the call leaves any part of those writes on the disk.
func (f *FS) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return f.failed
	}
	if f.closed {
		return fmt.Errorf("sync the file system of %s: %w", f.dir, os.ErrClosed)
	}
	if err := unix.Syncfs(f.fd); err != nil {
		// EINTR is not tried again either: it may have taken the error with it.
		f.failed = fmt.Errorf("sync the file system of %s: %w", f.dir, err)
	}
	return f.failed
}

// Close waits for a running Sync and gives the descriptor back. It syncs nothing.
func (f *FS) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if err := unix.Close(f.fd); err != nil {
		return fmt.Errorf("close the file system of %s: %w", f.dir, err)
	}
	return nil
}
