package verify

import (
	"context"
	"errors"
	"fmt"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"

	"github.com/nats-io/nats.go/jetstream"
)

// Options says what a ledger is held against.
type Options struct {
	// Head is the newest mark that was kept outside the stream; zero where there
	// is none.
	Head events.Mark
	// Views says whether the kept views are checked.
	Views bool
	// Progress, when set, is told now and then how many events are read of how
	// many.
	Progress func(done, of uint64)
	// Bad, when set, is told the sequence of each event that is not well.
	Bad func(sequence uint64)
}

// Ledger reads a ledger that is open, from its first event to the last one at
// the call. It may be written meanwhile. The error is for a ledger that could
// not be read to the end; what is wrong with one that could is in the answer.
func Ledger(ctx context.Context, l *ledger.Log, o Options) (commands.VerifyAnswer, error) {
	a, err := read(ctx, l, o)
	if err == nil {
		err = a.lookUpKeys(ctx, l.JetStream())
	}
	if err != nil {
		return commands.VerifyAnswer{}, fmt.Errorf("verify ledger: %w", err)
	}
	return a.answer(a.read), nil
}

func read(ctx context.Context, l *ledger.Log, o Options) (*audit, error) {
	a := newAudit()
	a.each = o.Bad
	a.witnesses.call(o.Head, "the head")
	if o.Views {
		if err := a.readKept(ctx, l.JetStream()); err != nil {
			return nil, err
		}
	}
	last, err := l.LastSequence(ctx)
	if err == nil {
		err = l.Durable().Wait(ctx, last) // what is said of it must be on disk
	}
	if err != nil {
		return nil, err
	}
	if err := a.readAll(ctx, l, last, o.Progress); err != nil {
		return nil, err
	}
	a.end(last)
	return a, a.recheck(ctx, l)
}

// recheck compares how the stream is kept. What else it may find wrong has been
// found by reading.
func (a *audit) recheck(ctx context.Context, l *ledger.Log) error {
	err := l.Recheck(ctx)
	switch {
	case errors.Is(err, ledger.ErrLoosened):
		a.add(finding{law: 6, message: err.Error(), next: nextSettings})
	case errors.Is(err, ledger.ErrRot):
		a.bad(0, 6, "%v", err)
	default:
		return err
	}
	return nil
}

// keyPrefix is how the stream of keys names the key of a code.
const keyPrefix = "keys."

func (a *audit) lookUpKeys(ctx context.Context, js jetstream.JetStream) error {
	keys, err := js.Stream(ctx, seal.KeysStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return a.checkKeys(func(string) (bool, error) { return false, nil })
	}
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	return a.checkKeys(func(code string) (bool, error) {
		_, err := keys.GetLastMsgForSubject(ctx, keyPrefix+code)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, nil
		}
		return err == nil, err
	})
}

// checkKeys says which codes, of those that lived at the newest event, cannot be
// read any more. The ledger is whole without them.
func (a *audit) checkKeys(has func(code string) (bool, error)) error {
	lost, example := 0, ""
	for _, c := range a.chains {
		for _, code := range c.state.Live(a.newest) {
			found, err := has(code.ID)
			if err != nil {
				return fmt.Errorf("read keys: %w", err)
			}
			if !found {
				lost, example = lost+1, max(example, code.ID)
			}
		}
	}
	if lost > 0 {
		a.note("%s no key, so nobody can read whom they are for (such as %s)", plural(lost, "live code has", "live codes have"), example)
	}
	return nil
}
