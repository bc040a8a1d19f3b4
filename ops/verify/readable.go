package verify

import (
	"context"
	"fmt"
	"os"

	"gatebook/events"
	"gatebook/events/ledger"
)

// Readable reads the ledger's files as they lie, before a server opens them: one
// flipped bit of a sequence makes a server fill its memory, and damaged settings
// make it begin a new stream over the old one. It is ledger.ErrRot where a record
// cannot be read, but for one that a power cut tore at the end. A ledger of more
// than most bytes is left to the reading that follows its opening.
func Readable(ctx context.Context, dir string, most int64) error {
	stores, err := findStores(dir)
	if err != nil {
		return fmt.Errorf("read the ledger's files: %w", err)
	}
	for _, s := range stores {
		if s.name != events.Ledger {
			continue
		}
		if err := s.readable(ctx, most); err != nil {
			return fmt.Errorf("read the ledger's files: %w", err)
		}
	}
	return nil
}

func (s *store) readable(ctx context.Context, most int64) error {
	if len(s.blocks) > 0 && !s.metaWell {
		return fmt.Errorf("%w: the settings of the stream are damaged (%s)", ledger.ErrRot, metaFile)
	}
	var size int64
	for _, n := range s.blocks {
		info, err := os.Stat(s.blockPath(n))
		if err != nil {
			return err
		}
		size += info.Size()
	}
	if size > most {
		return nil
	}
	var last uint64
	stopped, err := s.scan(ctx, func(r record) { last = max(last, r.sequence) })
	if err == nil && stopped != nil && !stopped.torn {
		err = fmt.Errorf("%w: the record after sequence %d is damaged (block file %d, byte %d)", ledger.ErrRot, last, stopped.block, stopped.at)
	}
	return err
}
