package barrier

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// marker is the file in the data folder that a failed barrier leaves behind.
const marker = "barrier-failed"

// MarkFailed leaves the marker in dir, with the cause as a line of text. It does
// what it can and returns what it could not: the disk that failed the barrier
// may fail the marker too. An existing marker gets a further line, so that the
// first cause is kept.
//
// A machine that goes down before the marker is on the disk leaves none and needs
// none: what memory held falsely is gone too. A process that is killed between
// the failed Sync and this call does leave a false memory without a marker, so a
// start that follows no clean stop does well to DropCache whatever Failed says.
// An empty marker counts as one.
func MarkFailed(dir string, cause error) error {
	f, err := os.OpenFile(filepath.Join(dir, marker), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("mark the barrier as failed: %w", err)
	}
	_, err = fmt.Fprintln(f, cause)
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(dir)); err != nil {
		return fmt.Errorf("mark the barrier as failed: %w", err)
	}
	return nil
}

// Failed reports whether a barrier failed in dir and was not cleared, and with
// what cause. A marker that cannot be looked for counts as one.
func Failed(dir string) (string, bool) {
	text, err := os.ReadFile(filepath.Join(dir, marker))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false
	case err != nil:
		return fmt.Sprintf("the marker of a failed barrier cannot be read: %v", err), true
	case strings.TrimSpace(string(text)) == "":
		return "cause not recorded", true
	}
	return strings.TrimSpace(string(text)), true
}

// ClearFailed removes the marker, once everything was read from the disk again
// and found whole. A crash before the removal is on the disk brings the marker
// back, and with it one needless check.
func ClearFailed(dir string) error {
	err := os.Remove(filepath.Join(dir, marker))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the mark of the failed barrier: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("clear the mark of the failed barrier: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
