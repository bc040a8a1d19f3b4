package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
)

const (
	// stallAfter is how long a reading waits for a message before it asks for it
	// by its number. The server leaves out what it cannot read without a word.
	stallAfter = 3 * time.Second
	// progressEvery is how many events go by between two words on progress.
	progressEvery = 1000
)

var errStalled = errors.New("no more messages come")

// readAll takes every message up to last, also where the stream has lost some.
func (a *audit) readAll(ctx context.Context, l *ledger.Log, last uint64, progress func(done, of uint64)) error {
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	defer func() { progress(a.read, last) }()
	for a.next <= last {
		if err := a.readOn(ctx, l, last, progress); err != nil {
			return err
		}
		if err := a.probe(ctx, l, last); err != nil {
			return err
		}
	}
	return nil
}

// readOn takes messages until the last one has come or none comes any more.
func (a *audit) readOn(ctx context.Context, l *ledger.Log, last uint64, progress func(done, of uint64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallAfter, func() { cancel(errStalled) })
	defer stall.Stop()
	err := l.ReadRaw(ctx, ledger.Range{From: a.next, Upto: last}, func(m ledger.Raw) error {
		stall.Reset(stallAfter)
		a.take(message{sequence: m.Sequence, subject: m.Subject, data: m.Data})
		if a.read%progressEvery == 0 {
			progress(a.read, last)
		}
		return nil
	})
	if errors.Is(context.Cause(ctx), errStalled) {
		return nil
	}
	return err
}

// probe asks for the messages that did not come one by one, up to the first that
// is there. The server's way to it does not matter: it may be read on from.
func (a *audit) probe(ctx context.Context, l *ledger.Log, last uint64) error {
	from := a.next
	for sequence := from; sequence <= last; sequence++ {
		e, err := l.At(ctx, sequence)
		switch {
		case errors.Is(err, ledger.ErrNone), errors.Is(err, events.ErrEnvelope):
			continue
		case err != nil:
			return fmt.Errorf("ask for sequence %d: %w", sequence, err)
		}
		a.take(message{sequence: sequence, subject: events.Subject(e.Intercom, e.Type), data: e.Raw})
		return nil
	}
	a.reach(last + 1)
	a.next = last + 1
	return nil
}
