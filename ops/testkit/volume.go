package testkit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// ext4Shutdown is EXT4_IOC_SHUTDOWN: from the call on the file system
	// refuses all I/O.
	ext4Shutdown = 0x8004587d
	// noLogFlush is EXT4_GOING_FLAGS_NOLOGFLUSH: not even what the journal
	// holds in memory is written first, as when the power goes.
	noLogFlush = 2
	// smallest is what mkfs.ext4 still gives a journal.
	smallest = 8
	// busyFor is how long an unmount waits for files of a process that has
	// just been killed to be closed by the kernel.
	busyFor = 2 * time.Second
)

// Volume is an ext4 file system of its own on a loop device: a disk that a test
// can fill, and whose power it can cut. Its methods fail the test themselves
// and must be called from the goroutine that runs it.
type Volume struct {
	// Dir is where the volume is mounted; empty at first, the same after Remount.
	Dir string

	t       testing.TB
	image   string
	mounted bool
	cut     bool
	copies  int
}

// NewVolume makes and mounts a volume of mib MiB (at least 8) and unmounts it
// when the test ends.
//
// It needs root, loop devices, mkfs.ext4, losetup and mount. Where one is
// missing the test is skipped and says which; where the environment has CI set
// it fails, so that a power-cut test cannot fall silent there.
func NewVolume(t testing.TB, mib int) *Volume {
	t.Helper()
	need(t)
	return newVolume(t, t.TempDir(), mib)
}

// Nested makes a volume whose disk is a sparse file on v: once v is filled, the
// nested volume's disk fails every write to a block that it never wrote before.
// It is how a test gets a write-back error out of a kernel without fault
// injection.
func (v *Volume) Nested(t testing.TB, mib int) *Volume {
	t.Helper()
	root, err := os.MkdirTemp(v.Dir, "nested-*")
	if err != nil {
		t.Fatalf("make a folder for the nested volume: %v", err)
	}
	return newVolume(t, root, mib)
}

func newVolume(t testing.TB, root string, mib int) *Volume {
	t.Helper()
	v := &Volume{Dir: filepath.Join(root, "mnt"), t: t, image: filepath.Join(root, "disk.img")}
	if err := makeImage(v.image, max(mib, smallest)); err != nil {
		t.Fatalf("make the volume's disk: %v", err)
	}
	if err := os.Mkdir(v.Dir, 0o700); err != nil {
		t.Fatalf("make the volume's mount point: %v", err)
	}
	// Registered before the mount: a test that dies half way still unmounts,
	// and before the temp folder, registered earlier, is removed.
	t.Cleanup(v.release)
	if err := v.mount(); err != nil {
		lack(t, fmt.Sprintf("a loop device could not be mounted (%v)", err))
	}
	// fsck makes lost+found again if it ever needs it; a test wants an empty folder.
	if err := os.Remove(filepath.Join(v.Dir, "lost+found")); err != nil {
		t.Fatalf("empty the new volume: %v", err)
	}
	return v
}

// makeImage writes a file system without blocks kept for root (so that full
// means full for root too) and without lazy initialisation (so that nothing
// writes to it behind the test's back).
func makeImage(path string, mib int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(mib) << 20)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", path)
}

// Cut cuts the power: what is not on the disk at this instant never will be,
// and every later read and write fails. Stop whoever has files open on the
// volume, then call Remount.
func (v *Volume) Cut() {
	v.t.Helper()
	fd, err := unix.Open(v.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		v.t.Fatalf("open the volume to cut its power: %v", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetPointerInt(fd, ext4Shutdown, noLogFlush); err != nil {
		v.t.Fatalf("cut the volume's power: %v", err)
	}
	v.cut = true
}

// Remount gives the power back: it unmounts, which forgets every page and every
// inode in memory, and mounts the disk again at the same Dir, replaying the
// journal. Without a Cut before it is a clean unmount and mount.
//
// Files that are still open keep the dead file system alive, and mounting its
// device again would bring that back. So after a Cut such a file system is
// detached, and a copy of its disk is mounted; without a Cut it is an error.
func (v *Volume) Remount() {
	v.t.Helper()
	switch err := v.unmount(); {
	case err == nil:
	case errors.Is(err, unix.EBUSY) && v.cut:
		v.t.Logf("volume %s still has open files after the cut: going on with a copy of its disk", v.Dir)
		v.leaveBehind()
	default:
		v.t.Fatalf("unmount the volume: %v", err)
	}
	v.cut = false
	if err := v.mount(); err != nil {
		v.t.Fatalf("mount the volume again: %v", err)
	}
}

// Fill takes every free block of the volume with one file, so that the next
// write of anybody fails with ENOSPC. Undo gives the room back.
func (v *Volume) Fill() (undo func()) {
	v.t.Helper()
	f, err := os.CreateTemp(v.Dir, "filler-*")
	if err != nil {
		v.t.Fatalf("make the filler: %v", err)
	}
	defer f.Close()
	if err := fill(f); err != nil {
		v.t.Fatalf("fill the volume: %v", err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			v.t.Errorf("remove the filler: %v", err)
		}
	}
}

// fill allocates in ever smaller steps until not even one small block is left.
func fill(f *os.File) error {
	var size int64
	for step := int64(16 << 20); step >= 1<<10; {
		err := unix.Fallocate(int(f.Fd()), 0, size, step)
		switch {
		case err == nil:
			size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case errors.Is(err, unix.EINTR):
		default:
			return fmt.Errorf("allocate [%d bytes at %d]: %w", step, size, err)
		}
	}
	return nil
}

func (v *Volume) mount() error {
	err := run("mount", "-t", "ext4", "-o", "loop", v.image, v.Dir)
	v.mounted = err == nil
	return err
}

// unmount waits for the files of processes that are just going away; EBUSY
// means that somebody holds on.
func (v *Volume) unmount() error {
	over := time.NewTimer(busyFor)
	defer over.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := unix.Unmount(v.Dir, unix.UMOUNT_NOFOLLOW)
		if err == nil {
			v.mounted = false
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-over.C:
			return err
		}
	}
}

// leaveBehind detaches a cut file system that is still in use and continues on
// a copy of its disk, which nothing that still runs there can reach.
func (v *Volume) leaveBehind() {
	v.t.Helper()
	if err := unix.Unmount(v.Dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		v.t.Fatalf("detach the volume: %v", err)
	}
	v.mounted = false
	v.copies++
	image := v.image + "." + strconv.Itoa(v.copies)
	if err := copyFile(image, v.image); err != nil {
		v.t.Fatalf("copy the volume's disk: %v", err)
	}
	v.image = image
}

// release runs when the test ends. A volume that is still busy is detached, so
// that the temp folder can be removed whatever the test left running.
func (v *Volume) release() {
	if !v.mounted {
		return
	}
	err := v.unmount()
	if errors.Is(err, unix.EBUSY) {
		v.t.Logf("volume %s still has open files at the end of the test: detaching it", v.Dir)
		err = unix.Unmount(v.Dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
	if err != nil {
		v.t.Errorf("unmount the volume %s: %v", v.Dir, err)
	}
}

// need skips the test, or fails it under CI, unless volumes can be made here.
func need(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lack(t, "root is needed to mount a loop device")
	}
	for _, name := range []string{"mkfs.ext4", "losetup", "mount"} {
		if _, err := tool(name); err != nil {
			lack(t, name+" is not installed")
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		lack(t, "there are no loop devices (/dev/loop-control)")
	}
}

func lack(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("NO TEST VOLUME: %s; under CI that is a failure", what)
	}
	t.Skipf("NO TEST VOLUME, NOTHING WAS TESTED: %s", what)
}

// tool finds a program of the system, also where PATH leaves out its sbin folders.
func tool(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: %w", name, exec.ErrNotFound)
}

func run(name string, args ...string) error {
	path, err := tool(name)
	if err != nil {
		return err
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w [%s]", name, err, out)
	}
	return nil
}

func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
