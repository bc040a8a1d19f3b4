package events

import (
	"errors"
	"fmt"
	"time"
)

// ErrChain is what an event that does not follow its intercom's previous one
// gives: lost, doubled, reordered or edited (law 6).
var ErrChain = errors.New("event does not follow the one before it")

// ErrTime is an ErrChain whose only fault is its time (law 11).
var ErrTime = fmt.Errorf("%w in time", ErrChain)

// Link is the end of an intercom's chain: all that the next event must tie to.
// The zero Link is the end of a chain without events.
type Link struct {
	Revision uint64    `json:"revision"`
	Hash     string    `json:"hash"`
	At       time.Time `json:"at"`
}

func (l Link) prev() string {
	if l.Revision == 0 {
		return Genesis
	}
	return l.Hash
}

// Chained ties a new event to the end of its intercom's chain and stamps it
// with the ledger's time. Where that time lies before the previous event's, as
// the clocks of two ledgers may, the previous event's time stands (law 11).
func (e Event) Chained(intercom string, l Link, now time.Time) Event {
	now = now.Round(0).UTC()
	if now.Before(l.At) {
		now = l.At
	}
	e.Intercom, e.Revision, e.At, e.Prev = intercom, l.Revision+1, now, l.prev()
	return e
}

// Extends reports whether s is the next event after l, as an ErrChain that
// says what is wrong.
func (s Stored) Extends(l Link) error {
	switch {
	case s.Revision != l.Revision+1:
		return fmt.Errorf("%w: revision %d after %d", ErrChain, s.Revision, l.Revision)
	case s.Prev != l.prev():
		return fmt.Errorf("%w: revision %d names another event as its previous one", ErrChain, s.Revision)
	case s.At.Before(l.At):
		return fmt.Errorf("%w: revision %d is older than revision %d", ErrTime, s.Revision, l.Revision)
	}
	return nil
}

// Link is the end of the chain once s has been added to it.
func (s Stored) Link() Link { return Link{Revision: s.Revision, Hash: s.Hash, At: s.At} }

// Mark names one event in one place. It holds if the stream has exactly that
// event there.
type Mark struct {
	Sequence uint64 `json:"sequence"`
	ID       string `json:"id"`
	Hash     string `json:"hash"`
}

// Mark names s.
func (s Stored) Mark() Mark { return Mark{Sequence: s.Sequence, ID: s.ID, Hash: s.Hash} }
