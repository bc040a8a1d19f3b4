package ledger

import (
	"context"
	"errors"
	"time"

	"gatebook/events"
)

// settleEvery is the pause between two tries to learn what became of an event.
const settleEvery = 100 * time.Millisecond

// Settle finds out what became of an event that Append left unknown. Absence is
// no answer: the first message may still be on its way. So the identical event
// is sent again, with the same id and fence, until the leader shows the first
// event after the fence: ours (nil: it is stored) or another's (ErrConflict: it
// never will be). It returns ctx's error when that ends first; then it is
// still unknown.
func (l *Log) Settle(ctx context.Context, p *Pending) (events.Stored, error) {
	for {
		if e, err := l.settled(ctx, p); !errors.Is(err, ErrUnknown) {
			return e, err
		}
		// An error here, a conflict included, may be the answer to our own first
		// message having been stored: only reading back tells.
		if e, err := l.Append(ctx, p); err == nil {
			return e, nil
		}
		if e, err := l.settled(ctx, p); !errors.Is(err, ErrUnknown) {
			return e, err
		}
		select {
		case <-ctx.Done():
			return events.Stored{}, ctx.Err()
		case <-time.After(settleEvery):
		}
	}
}

func (l *Log) settled(ctx context.Context, p *Pending) (events.Stored, error) {
	first, err := l.Next(ctx, p.Event.Intercom, p.fence)
	switch {
	case err != nil:
		return events.Stored{}, ErrUnknown
	case first.ID == p.Event.ID:
		return l.stored(p, first.Sequence), nil
	default:
		return events.Stored{}, ErrConflict
	}
}
