package serve

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"gatebook/ops/barrier"
	"gatebook/ops/node"
)

// disk is how an embedded ledger's events get onto the disk: by a shared barrier
// where that is sound, else by the server syncing each write.
type disk struct {
	dir   string
	log   *slog.Logger
	fs    *barrier.FS
	unfit error // why a shared barrier is not sound here
}

// leftover reports whether a process that served dir was killed: a clean stop
// takes its address away.
func leftover(dir string) bool {
	_, err := node.ReadAddress(dir)
	return err == nil
}

// open must come before the store is opened: the descriptor hears only of write
// errors that come after it. After a failed sync, or a kill that may have come
// between one and its marker, memory may hold pages that the disk does not: they
// are dropped, so that what is read from here on is what is really there.
func (d *disk) open() error {
	store := filepath.Join(d.dir, "jetstream")
	if err := os.MkdirAll(store, 0o700); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	cause, failed := barrier.Failed(d.dir)
	if failed {
		d.log.Warn("the last stop was not a clean one; all is read again from the disk", "cause", cause)
	}
	fs, err := barrier.Open(store)
	if err != nil {
		return err
	}
	if failed {
		if err := fs.Sync(); err != nil {
			return fmt.Errorf("open store: %w", err)
		}
		if err := barrier.DropCache(store); err != nil {
			return fmt.Errorf("open store: %w", err)
		}
	}
	d.fs, d.unfit = fs, barrier.Sound(store)
	return nil
}

func (d *disk) shared() bool { return d.unfit == nil && d.fs != nil }

func (d *disk) sync() error { return d.fs.Sync() }

func (d *disk) close() error { return d.fs.Close() }

// mark leaves a marker of a failed barrier for the next start.
func (d *disk) mark(cause error) {
	if err := barrier.MarkFailed(d.dir, cause); err != nil {
		d.log.Error("the failed barrier could not be marked", "error", err)
	}
}

// clear takes the marker away once the ledger was opened and checked again.
func (d *disk) clear() {
	if err := barrier.ClearFailed(d.dir); err != nil {
		d.log.Error("the marker of a failed barrier could not be taken away", "error", err)
	}
}

func (d *disk) describe(joined bool) string {
	switch {
	case joined:
		return "the servers' own sync on a quorum"
	case d.shared():
		return "one shared syncfs barrier for all who wait"
	default:
		return "one fsync a write, because a shared barrier is not sound here: " + d.unfit.Error()
	}
}
