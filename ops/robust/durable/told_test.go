package durable

import (
	"fmt"
	"sync"
	"time"

	"gatebook/commands"
	"gatebook/ops/robust"
)

// told is what was said beside the history's answers: codes shown, times of
// receipts, and catch-ups.
type told struct {
	mu       sync.Mutex
	shows    []shown
	receipts map[place]receipt
	syncs    map[place]string // the hash of that revision's event
	times    map[code]time.Time
	changed  []error
}

type place struct {
	intercom string
	revision uint64
}

type code struct{ intercom, id string }

type shown struct {
	intercom string
	answer   commands.ShowAnswer
}

type receipt struct {
	hash string
	at   time.Time
}

func newTold() told {
	return told{receipts: map[place]receipt{}, syncs: map[place]string{}, times: map[code]time.Time{}}
}

func (t *told) show(intercom string, a commands.ShowAnswer) {
	if a.AppliedAt != nil {
		t.applied(intercom, a.ID, *a.AppliedAt)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shows = append(t.shows, shown{intercom, a})
}

// applied keeps when a revoke was applied at the gate. That time never changes.
func (t *told) applied(intercom, id string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if was, ok := t.times[code{intercom, id}]; ok && !was.Equal(at) {
		t.changed = append(t.changed, fmt.Errorf("%s: code %s was applied at %v, and then at %v", intercom, id, was, at))
	}
	t.times[code{intercom, id}] = at
}

func (t *told) receipt(intercom string, r commands.ReceiptRequest, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.receipts[place{intercom, r.Revision}] = receipt{r.Hash, at}
}

func (t *told) hasReceipt(intercom string, revision uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.receipts[place{intercom, revision}]
	return ok
}

func (t *told) sync(intercom string, a commands.SyncAnswer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.syncs[place{intercom, a.Revision}] = a.Hash
}

// wrong is something that was told and contradicts what was told before.
func (t *told) wrong(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = append(t.changed, err)
}

// against compares all of it with the ledger's events.
func (t *told) against(l robust.Ledger) []error {
	wrong := t.changed
	for at, hash := range t.syncs {
		if err := has(l, at, hash); err != nil {
			wrong = append(wrong, fmt.Errorf("sync: %w", err))
		}
	}
	for at, r := range t.receipts {
		if err := has(l, at, r.hash); err != nil {
			wrong = append(wrong, fmt.Errorf("receipt: %w", err))
		}
	}
	for _, s := range t.shows {
		if err := s.against(l); err != nil {
			wrong = append(wrong, fmt.Errorf("show: %w", err))
		}
	}
	return wrong
}

func has(l robust.Ledger, at place, hash string) error {
	st, ok := l.State(at.intercom, at.revision)
	if !ok || st.Hash != hash {
		return fmt.Errorf("LOST: the event at revision %d of %s is not the one that was told of", at.revision, at.intercom)
	}
	return nil
}

func (s shown) against(l robust.Ledger) error {
	if len(s.answer.Events) == 0 {
		return fmt.Errorf("code %s of %s was shown without its events", s.answer.ID, s.intercom)
	}
	newest := s.answer.Events[len(s.answer.Events)-1].Revision
	st, ok := l.State(s.intercom, newest)
	if !ok {
		return fmt.Errorf("LOST: revision %d of %s, which code %s was shown with", newest, s.intercom, s.answer.ID)
	}
	c, ok := st.Code(s.answer.ID)
	if !ok || !c.IssuedAt.Equal(s.answer.IssuedAt) || c.RevokedAt.IsZero() != (s.answer.RevokedAt == nil) {
		return fmt.Errorf("code %s of %s at revision %d is not what was shown", s.answer.ID, s.intercom, newest)
	}
	for _, item := range s.answer.Events {
		events := l[s.intercom].Events
		if item.Revision > uint64(len(events)) || events[item.Revision-1].ID != item.ID {
			return fmt.Errorf("LOST: event %s, revision %d of %s, which was shown", item.ID, item.Revision, s.intercom)
		}
	}
	return nil
}
