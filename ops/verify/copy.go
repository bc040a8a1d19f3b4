package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// margin is what a server may write beside the copy: its indexes.
const margin = 32 << 20

// copyStores puts the streams where a server with that store directory finds
// them, under the account that every server has.
func copyStores(ctx context.Context, to string, stores []*store) error {
	names := map[string]string{} // from, to
	need := int64(margin)
	for _, s := range stores {
		files, err := s.files()
		if err != nil {
			return err
		}
		for name, size := range files {
			names[filepath.Join(s.dir, name)] = filepath.Join(to, "jetstream", "$G", "streams", s.name, name)
			need += size
		}
	}
	if err := hasRoom(to, need); err != nil {
		return err
	}
	for from, to := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := copyFile(from, to); err != nil {
			return err
		}
	}
	return nil
}

// files are those that a server reads, with their sizes: not its consumers, and
// not what it left half made.
func (s *store) files() (map[string]int64, error) {
	names := []string{metaFile, metaSum, filepath.Join(msgsDir, indexFile)}
	for _, n := range s.blocks {
		names = append(names, filepath.Join(msgsDir, blockName(n)))
	}
	sizes := map[string]int64{}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(s.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sizes[name] = info.Size()
	}
	return sizes, nil
}

func hasRoom(dir string, need int64) error {
	var volume unix.Statfs_t
	if err := unix.Statfs(dir, &volume); err != nil {
		return fmt.Errorf("look for room: %w", err)
	}
	if free := int64(volume.Bavail) * volume.Bsize; free < need {
		return fmt.Errorf("a private copy needs %d MiB and %s has %d MiB: set TMPDIR to a folder with more room", need>>20, filepath.Dir(dir), free>>20)
	}
	return nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
