package intercom

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gatebook/intercom/journal"
)

// tombs are the tombstones on disk: the codes that were ever seen revoked. The
// keypad rejects by the table's, at once; these make them outlast the process.
// The receipts worker has them to itself, and after its end Close.
type tombs struct {
	disk   *journal.Journal
	log    *slog.Logger
	onDisk map[string]bool
}

// load reads what was kept.
func (d *tombs) load() (map[string]time.Time, error) {
	all, err := d.disk.Tombstones()
	if errors.Is(err, journal.ErrDamaged) {
		d.log.Error("some tombstones cannot be read; should the ledger show a code as active that was revoked, it would open", "error", err)
	} else if err != nil {
		return nil, err
	}
	d.onDisk = make(map[string]bool, len(all))
	for id := range all {
		d.onDisk[id] = true
	}
	return all, nil
}

// keep brings the disk in line with a table. What a crash before it loses is
// seen again at the next catch-up; what the disk refuses is an error, is tried
// again after it, and rejected from memory meanwhile.
func (d *tombs) keep(t *table) (failed error) {
	for id, at := range t.tombs {
		if d.onDisk[id] {
			continue
		}
		if err := d.disk.Tombstone(id, at); err != nil {
			failed = fmt.Errorf("keep a revoked code on disk: %w", err)
			continue
		}
		d.onDisk[id] = true
	}
	for id := range d.onDisk {
		if _, lasts := t.tombs[id]; lasts {
			continue
		}
		if err := d.disk.Forget(id); err != nil {
			d.log.Error("a tombstone could not be dropped from disk", "error", err)
			continue
		}
		delete(d.onDisk, id)
	}
	return failed
}
