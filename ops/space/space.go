package space

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// name is the reserve's file in the data folder.
	name = "reserve"
	// fresh is how long Low trusts what it measured.
	fresh = 2 * time.Millisecond
)

// FullError says that the reserve is spent and the volume is full.
type FullError struct {
	Dir        string
	Free, Need int64 // bytes
}

func (e *FullError) Error() string {
	return fmt.Sprintf("the volume of %s is full and the reserve is spent: free some space or enlarge it [free %d, need %d bytes]", e.Dir, e.Free, e.Need)
}

// Guard watches the volume of one data folder and owns the reserve on it. It is
// safe for concurrent use.
type Guard struct {
	dir  string
	log  *slog.Logger
	file *os.File
	conn syscall.RawConn // file's
	bare bool            // no reserve can be made on this file system; set by Open

	seen atomic.Pointer[usage] // what Low measured last

	mu sync.Mutex // owns the size of the reserve
}

// Open makes the reserve in dir, or takes over the one that is there. Where its
// full size does not fit, it makes it as large as fits, and logs that. The
// caller holds the data folder's lock.
func Open(dir string, log *slog.Logger) (*Guard, error) {
	// A crash right after this line leaves an empty reserve.
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the reserve: %w", err)
	}
	g := &Guard{dir: dir, log: log, file: file}
	if err := g.takeOver(); err != nil {
		return nil, errors.Join(fmt.Errorf("take over the reserve: %w", err), file.Close())
	}
	err = g.regrow()
	g.bare = errors.Is(err, unix.EOPNOTSUPP)
	g.logShort(err)
	return g, nil
}

// takeOver looks at what was left in the folder. A reserve with holes in it (a
// copy, or one brought back from a backup) has less room than it says, and is
// made anew.
func (g *Guard) takeOver() error {
	var err error
	if g.conn, err = g.file.SyscallConn(); err != nil {
		return err
	}
	info, err := g.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", g.file.Name())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Blocks*512 < info.Size() {
		return g.file.Truncate(0)
	}
	return nil
}

// logShort says at the start why the reserve is not what it should be.
func (g *Guard) logShort(err error) {
	if err != nil {
		g.log.Warn("the reserve could not be made",
			"error", err, "next", "put the data folder on a file system that can preallocate, such as ext4")
		return
	}
	u, err1 := g.measure()
	have, err2 := g.size()
	if want := u.limits().reserve; err1 == nil && err2 == nil && have < want {
		g.log.Warn("the reserve is smaller than it should be",
			"have", have, "want", want, "free", u.free, "next", g.advice())
	}
}

// Low reports whether the volume is low, from a measurement that is at most
// 2 ms old. A volume that cannot be measured is low.
func (g *Guard) Low() bool {
	u := g.seen.Load()
	if u == nil || time.Since(u.at) > fresh {
		now, err := g.measure()
		if err != nil {
			return true
		}
		u = &now
		g.seen.Store(u)
	}
	return u.low()
}

// Free returns the bytes that are free on the volume, those of the reserve not
// among them, and the volume's size; zeros if it cannot be measured.
func (g *Guard) Free() (free, total uint64) {
	u, err := g.measure()
	if err != nil {
		return 0, 0
	}
	return uint64(max(0, u.free)), uint64(max(0, u.total))
}

// Ensure sees to it that at least a chunk is free, and takes it from the reserve
// if need be. Call it before each append that must go on when the volume is
// full, and append only when it returns nil. The error is a *FullError when the
// reserve is spent.
func (g *Guard) Ensure() error {
	u, err := g.measure()
	if err != nil || u.free >= u.limits().chunk {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.release()
}

// release cuts chunks off the reserve until one is free. A crash in between
// leaves a shorter reserve. Callers hold mu.
func (g *Guard) release() error {
	for {
		u, err := g.measure() // again: another caller may have made room
		if err != nil {
			return err
		}
		chunk := u.limits().chunk
		if u.free >= chunk {
			return nil
		}
		have, err := g.size()
		if err != nil {
			return err
		}
		if have == 0 {
			return &FullError{Dir: g.dir, Free: u.free, Need: chunk}
		}
		if err := g.file.Truncate(max(0, have-chunk)); err != nil {
			return fmt.Errorf("take from the reserve: %w", err)
		}
	}
}

// regrow brings the reserve to the size that it should have, or as near to it as
// there is room that nobody misses. Crumbs of less than a chunk are left alone.
func (g *Guard) regrow() error {
	if g.bare {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	u, err := g.measure()
	if err != nil {
		return err
	}
	have, err := g.size()
	if err != nil {
		return err
	}
	missing := u.limits().reserve - have
	if missing < 0 { // the volume was made smaller
		return g.file.Truncate(u.limits().reserve)
	}
	more := min(missing, u.spare()/align*align)
	if more < min(missing, u.limits().chunk) || more == 0 {
		return nil
	}
	return g.grow(have, more)
}

// grow adds allocated blocks at the end, and takes them back if they did not all
// fit or if the room was taken by somebody else meanwhile. A crash in between
// leaves a reserve of any size up to the new one; if that made the volume low,
// Ensure gives it back when it is needed. Callers hold mu.
func (g *Guard) grow(have, more int64) error {
	err := g.withFile(func(fd int) error { return unix.Fallocate(fd, 0, have, more) })
	if err == nil {
		u, err := g.measure()
		if err != nil || !u.low() {
			return err
		}
	}
	if back := g.file.Truncate(have); back != nil {
		err = errors.Join(err, back)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("enlarge the reserve: %w", err)
	}
	return nil
}

func (g *Guard) size() (int64, error) {
	info, err := g.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("look at the reserve: %w", err)
	}
	return info.Size(), nil
}

// Close lets go of the reserve, which stays as it is for the next start. Stop
// Run first; Low is true and Ensure an error from now on.
func (g *Guard) Close() error {
	if err := g.file.Close(); err != nil {
		return fmt.Errorf("close the reserve: %w", err)
	}
	return nil
}
