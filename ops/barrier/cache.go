package barrier

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// DropCache makes the kernel forget what it holds in memory of every regular
// file under dir, so that the next read comes from the disk. After a write-back
// error it keeps showing the pages that it could not write, and calls them clean.
//
// It writes nothing and waits for nothing: a page that is still dirty stays. So
// it comes after the Sync of a freshly opened FS, and before the store opens.
// Files are left as they are; a crash in the middle leaves nothing behind.
func DropCache(dir string) error {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("drop the cache: %w", err)
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = dropFile(path)
		}
		if err != nil && (path == root || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("drop the cache: %w", err)
		}
		return nil
	})
}

func dropFile(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd) // opened for reading: nothing to lose
	// Length 0 is to the end of the file, wherever that is by then.
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED); err != nil {
		return &os.PathError{Op: "fadvise", Path: path, Err: err}
	}
	return nil
}
