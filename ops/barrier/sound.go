package barrier

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Since 5.8 syncfs reports the write-back errors of a file system's data, since
// 5.17 also those of the file system's own sync.
const (
	needMajor = 5
	needMinor = 17
)

// proven reports whether a kind of file system, named as in the mount table,
// has passed the power-cut test. A kind is added here when it has, not before.
func proven(kind string) bool {
	switch kind {
	case "ext4":
		return true
	}
	return false
}

// Sound returns nil if a shared barrier is sound for everything under dir, else
// an error that says in one clause why not. It judges what it finds at the
// call: call it at each start, before the store opens.
func Sound(dir string) error {
	if err := soundKernel(); err != nil {
		return err
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("find the folder of the store: %w", err)
	}
	id, err := mountID(root)
	if err != nil {
		return err
	}
	if err := soundMount(id); err != nil {
		return err
	}
	return oneMount(root, id)
}

func soundKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("ask for the kernel's version: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	major, minor, err := parseKernel(release)
	if err != nil {
		return err
	}
	if major < needMajor || major == needMajor && minor < needMinor {
		return fmt.Errorf("kernel %s is older than %d.%d and may keep write-back errors to itself", release, needMajor, needMinor)
	}
	return nil
}

// parseKernel reads the first two numbers of a release such as "6.1.0-13-amd64".
func parseKernel(release string) (major, minor int, err error) {
	first, rest, ok := strings.Cut(release, ".")
	if end := strings.IndexFunc(rest, notDigit); end >= 0 {
		rest = rest[:end]
	}
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(rest)
	if !ok || err1 != nil || err2 != nil || major < 0 {
		return 0, 0, fmt.Errorf("kernel version %q cannot be read", release)
	}
	return major, minor, nil
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

// soundMount looks the mount up in the table: the type that statfs gives is the
// same number for ext2, ext3 and ext4.
func soundMount(id uint64) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read the mount table: %w", err)
	}
	mounts, err := parseMounts(string(table))
	if err != nil {
		return err
	}
	at := slices.IndexFunc(mounts, func(m mount) bool { return m.id == id })
	if at < 0 {
		return fmt.Errorf("mount %d of the store is not in the mount table", id)
	}
	if m := mounts[at]; !proven(m.kind) {
		return fmt.Errorf("file system %s, mounted at %s, has not passed the power-cut test", m.kind, m.point)
	}
	return nil
}

// oneMount holds if every file and folder under root is on the mount with this
// id. Symbolic links are a reason against: what they lead to can change mounts
// without any trace here.
func oneMount(root string, id uint64) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return unlessGone(path, root, err)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s is a symbolic link, which the barrier cannot follow", path)
		}
		got, err := mountID(path)
		if err != nil {
			return unlessGone(path, root, err)
		}
		if got != id {
			return fmt.Errorf("%s is on another mount than the store at %s", path, root)
		}
		return nil
	})
}

// unlessGone forgives a file that was removed while the walk was on its way to
// it, but not the root itself.
func unlessGone(path, root string, err error) error {
	if path != root && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("walk the store: %w", err)
}

func mountID(path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &st); err != nil {
		return 0, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return 0, fmt.Errorf("the kernel does not tell which mount %s is on", path)
	}
	return st.Mnt_id, nil
}
