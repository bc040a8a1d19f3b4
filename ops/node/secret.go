package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrExists is what CreateSecret gives where the path is taken.
var ErrExists = errors.New("file exists already and is never overwritten")

// WriteSecret puts data at path, readable by its owner alone, in place of
// whatever was there. When it returns, data is on disk under that name; a crash
// before leaves the former file whole, and at worst a temporary one beside it.
func WriteSecret(path string, data []byte) error {
	if err := writeFile(path, data, os.Rename); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// CreateSecret is WriteSecret for what must never be overwritten: where path is
// taken, it gives ErrExists and changes nothing.
func CreateSecret(path string, data []byte) error {
	err := writeFile(path, data, os.Link)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("create %s: %w", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

// writeFile writes and syncs a temporary file, and place gives it its name. The
// name is made durable last: one that points at unwritten bytes never is.
func writeFile(path string, data []byte, place func(from, to string) error) error {
	temp, err := writeTemp(path, data)
	if err != nil {
		return err
	}
	defer os.Remove(temp) // already gone after a rename
	if err := place(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeTemp(path string, data []byte) (name string, err error) {
	// CreateTemp makes files 0600.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
