package verify

import (
	"context"
	"fmt"
	"strings"

	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/projections/views"
)

// scan reads every record of every stream as it lies on the disk. It gives the
// ids of the codes that have a key.
func (f *folder) scan(ctx context.Context) (keys map[string]bool, err error) {
	keys = map[string]bool{}
	for _, s := range f.stores {
		switch s.name {
		case events.Ledger:
			err = f.scanLedger(ctx)
		case seal.KeysStream:
			err = f.scanKeys(ctx, s, keys)
		case viewsStream:
			err = f.scanViews(ctx, s)
		default:
			err = f.scanBeside(ctx, s, func(record) {})
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", s.name, err)
		}
	}
	return keys, nil
}

func (f *folder) scanLedger(ctx context.Context) error {
	s := f.ledger
	if !s.metaWell {
		f.bad(0, 6, "the settings of the stream %s are damaged (%s): a server would not find the ledger", s.name, metaFile)
	}
	if s.index.damaged {
		f.off(0, nextIndex, "the index of the stream %s is damaged (%s)", s.name, indexFile)
	}
	f.witnesses.call(events.Mark{Sequence: s.index.last}, "the server's index")
	half := f.witnesses.last.mark.Sequence
	stopped, err := s.scan(ctx, func(r record) {
		f.takeRecord(r)
		if f.audit.read%progressEvery == 0 {
			f.told(f.audit.read, 2*half)
		}
	})
	if err != nil {
		return err
	}
	if stopped != nil {
		f.stopped(stopped)
	}
	f.end(f.next - 1)
	if f.fenceless > 0 && f.fenceless < int(f.audit.read) {
		f.note("%s which event was to come before", plural(f.fenceless, "event does not say", "events do not say"))
	}
	if f.headless && f.audit.read > 0 && f.first == nil {
		f.bad(0, 6, "the head is missing, so nothing vouches for the end of the ledger")
	}
	return nil
}

func (f *folder) takeRecord(r record) {
	if r.deletion || r.erased {
		f.bad(r.sequence, 6, "the event at sequence %d was deleted", r.sequence)
		if r.erased && r.sequence >= f.next {
			f.reach(r.sequence)
			f.next = r.sequence + 1
		}
		return
	}
	m := message{sequence: r.sequence, subject: string(r.subject), data: r.data}
	m.fence, m.fenced = r.fence()
	f.take(m)
}

// stopped names the event whose record cannot be read. What is torn at the end
// is missing if anything was made from it, and else never was.
func (f *folder) stopped(at *stop) {
	switch {
	case !at.torn:
		f.bad(f.next, 6, "the record of the event at sequence %d is damaged (block file %d, byte %d)", f.next, at.block, at.at)
	case f.witnesses.last.mark.Sequence < f.next:
		f.note("a power cut tore the record after the last event; nobody was told of it")
	}
}

// scanBeside reads a stream whose loss is none of events.
func (f *folder) scanBeside(ctx context.Context, s *store, each func(record)) error {
	var last uint64
	stopped, err := s.scan(ctx, func(r record) {
		last = r.sequence
		each(r)
	})
	if err != nil {
		return err
	}
	if stopped != nil && !stopped.torn {
		f.off(0, nextBeside(s), "a record of the stream %s after its sequence %d is damaged (block file %d, byte %d)", s.name, last, stopped.block, stopped.at)
	}
	if !s.metaWell {
		f.off(0, nextBeside(s), "the settings of the stream %s are damaged (%s)", s.name, metaFile)
	}
	if s.index.damaged {
		f.off(0, nextIndex, "the index of the stream %s is damaged (%s)", s.name, indexFile)
	}
	return nil
}

func nextBeside(s *store) string {
	switch s.name {
	case viewsStream:
		return nextView
	case seal.KeysStream:
		return "the events are well, but a guest's key may be lost: " + nextRestore
	}
	return "the events are well: restore this stream from a backup, or go on without what it held"
}

// scanViews also looks at the subjects: the checksum of a record without headers
// does not tell where its subject ends.
func (f *folder) scanViews(ctx context.Context, s *store) error {
	odd := false
	err := f.scanBeside(ctx, s, func(r record) {
		key, ok := strings.CutPrefix(string(r.subject), "$KV."+views.Bucket+".")
		intercom, isView := strings.CutPrefix(key, viewPrefix)
		known := key == viewMark || isView && events.ValidID(intercom)
		odd = odd || !(ok && known || r.deletion || r.erased)
	})
	if odd {
		f.off(0, nextView, "a kept view is damaged: it lies under a name that no view has")
	}
	return err
}

func (f *folder) scanKeys(ctx context.Context, s *store, keys map[string]bool) error {
	codes := map[uint64]string{}
	err := f.scanBeside(ctx, s, func(r record) {
		if r.deletion || r.erased {
			delete(codes, r.sequence)
		} else {
			codes[r.sequence] = strings.TrimPrefix(string(r.subject), keyPrefix)
		}
	})
	for _, code := range codes {
		keys[code] = true
	}
	return err
}
