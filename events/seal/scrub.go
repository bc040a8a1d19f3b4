package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrUnread is what Scrub gives where a block file has bytes that it cannot
// read: torn by a power cut, rotten, encrypted, or laid out by another server.
// Everything before those bytes was scrubbed.
var ErrUnread = errors.New("block file cannot be read to its end")

// Scrub overwrites what a kill inside Destroy leaves of keys: the server notes
// the deletion first and rewrites the block after, and having noted it never
// rewrites for it again. It also removes the copies of blocks that such a kill
// leaves half made. It tells how many keys it overwrote.
//
// storeDir is what the server is given as its StoreDir. The server must not be
// running. Run it before each start; a folder without a stream KEYS is fine.
//
// Nothing of a live key is touched: a record is overwritten only where a deletion
// with the same sequence and time is noted. A crash anywhere in Scrub leaves the
// old block or the new one, whole, and the next Scrub does the rest.
func Scrub(storeDir string) (n int, err error) {
	folders, err := fs.Glob(os.DirFS(storeDir), "jetstream/*/streams/"+KeysStream+"/msgs")
	if err != nil {
		return 0, fmt.Errorf("scrub keys: %w", err)
	}
	var unread error
	for _, f := range folders {
		k, err := scrubFolder(filepath.Join(storeDir, filepath.FromSlash(f)))
		n += k
		if err != nil && !errors.Is(err, ErrUnread) {
			return n, fmt.Errorf("scrub keys: %w", err)
		}
		unread = errors.Join(unread, err)
	}
	if unread != nil {
		return n, fmt.Errorf("scrub keys: %w", unread)
	}
	return n, nil
}

func scrubFolder(folder string) (n int, err error) {
	blocks, leftovers, err := listFolder(folder)
	if err != nil {
		return 0, err
	}
	for _, path := range leftovers {
		if err := shred(path); err != nil {
			return 0, err
		}
	}
	// A key's deletion is noted in the newest block of its time, so all blocks
	// are read before the first is changed.
	deleted := make(map[deletion]bool)
	var unread error
	for path, index := range blocks {
		if err := noteDeletions(path, index, deleted); errors.Is(err, ErrUnread) {
			unread = errors.Join(unread, err)
		} else if err != nil {
			return 0, err
		}
	}
	if len(deleted) == 0 {
		return 0, unread
	}
	for path, index := range blocks {
		k, err := scrubBlock(path, index, deleted)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, unread
}

// listFolder finds the block files, and the files beside them that the server
// makes for a moment and never reads again.
func listFolder(folder string) (blocks map[string]uint32, leftovers []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, nil, err
	}
	blocks = make(map[string]uint32)
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		stem, isBlock := strings.CutSuffix(e.Name(), ".blk")
		index, err := strconv.ParseUint(stem, 10, 32)
		switch {
		case isBlock && err == nil:
			blocks[path] = uint32(index)
		case strings.HasSuffix(e.Name(), ".blk.tmp"), strings.HasSuffix(e.Name(), ".new"):
			leftovers = append(leftovers, path)
		}
	}
	return blocks, leftovers, nil
}

func readBlock(path string, index uint32) (*block, error) {
	buf, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return newBlock(index, buf)
}

func noteDeletions(path string, index uint32, deleted map[deletion]bool) error {
	b, err := readBlock(path, index)
	if err != nil {
		return err
	}
	read := b.records(func(r record) {
		if r.seq&deletedBit != 0 {
			deleted[deletion{r.seq &^ deletedBit, r.ts}] = true
		}
	})
	if read < len(b.buf) {
		return fmt.Errorf("%w [%s from byte %d of %d]", ErrUnread, filepath.Base(path), read, len(b.buf))
	}
	return nil
}

func scrubBlock(path string, index uint32, deleted map[deletion]bool) (n int, err error) {
	b, err := readBlock(path, index)
	if err != nil {
		return 0, err
	}
	// A message's sequence has no bits, an erased record's has: it never matches.
	var doomed []record
	b.records(func(r record) {
		if deleted[deletion{r.seq, r.ts}] {
			doomed = append(doomed, r)
		}
	})
	if len(doomed) == 0 {
		return 0, nil
	}
	for _, r := range doomed {
		b.erase(r)
	}
	return len(doomed), replace(path, b.buf, doomed)
}

// replace puts a new file in place of the old one, and then overwrites the keys
// in the old one's sectors too, which nothing names any more.
func replace(path string, buf []byte, doomed []record) error {
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	// A crash before the rename leaves the old block and a leftover to shred.
	tmp := path + ".tmp"
	if err := writeSynced(tmp, buf); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return err
	}
	// Not before here, or a power cut might bring back a torn record. The bytes are
	// a whole record, so that a hard link to the old file stays readable.
	for _, r := range doomed {
		if _, err := old.WriteAt(buf[r.at:r.at+r.size], int64(r.at)); err != nil {
			return err
		}
	}
	return old.Sync()
}

func writeSynced(path string, buf []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(buf)
	return errors.Join(err, f.Sync(), f.Close())
}

// shred overwrites a file with zeros and removes it.
func shred(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, info.Size()))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}
