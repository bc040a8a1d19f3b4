package service

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

// expiry writes expired events when codes' time has passed. A code is dead from
// that instant anyway (law 11); with several ledgers each tries, and the fence
// lets exactly one of them through.
type expiry struct {
	service *Service
	mu      sync.Mutex
	due     dueHeap
	wake    chan struct{}
	slots   chan struct{}
}

// Beyond this many at once, more would only queue for the same disk.
const expiringAtOnce = 64

// A code that could not be expired now is tried again this much later.
const expireAgain = 500 * time.Millisecond

// A code of an intercom on which nothing may be decided is looked at again this
// much later.
const expireStopped = time.Minute

type due struct {
	at             time.Time
	intercom, code string
}

func newExpiry(s *Service) *expiry {
	return &expiry{service: s, wake: make(chan struct{}, 1), slots: make(chan struct{}, expiringAtOnce)}
}

// learn takes in a new code, or every code of a state that was loaded whole.
func (x *expiry) learn(st projections.State, e events.Stored) {
	if e.Sequence != 0 && e.Type != events.Issued && e.Type != events.Failed {
		return
	}
	codes := st.Codes
	if e.Sequence != 0 {
		c, ok := st.Code(codeOf(e.Event))
		if !ok {
			return
		}
		codes = []projections.Code{c}
	}
	for _, c := range codes {
		if c.RevokedAt.IsZero() && c.ExitedAt.IsZero() && c.ExpiredAt.IsZero() {
			x.add(due{c.ExpiresAt, st.Intercom, c.ID})
		}
	}
}

func (x *expiry) add(d due) {
	x.mu.Lock()
	heap.Push(&x.due, d)
	first := x.due[0] == d
	x.mu.Unlock()
	if first {
		select {
		case x.wake <- struct{}{}:
		default:
		}
	}
}

// run looks at least once a second, so that a clock that was set does not leave
// it sleeping.
func (x *expiry) run(ctx context.Context) {
	for {
		wait := time.Second
		now, err := x.service.now()
		if err == nil {
			wait = x.expire(ctx, now)
		}
		select {
		case <-ctx.Done():
			return
		case <-x.wake:
		case <-time.After(wait):
		}
	}
}

// expire starts on all that are due and says when to look again.
func (x *expiry) expire(ctx context.Context, now time.Time) time.Duration {
	for {
		d, wait := x.pop(now)
		if d.code == "" {
			return wait
		}
		select {
		case x.slots <- struct{}{}:
		case <-ctx.Done():
			return 0
		}
		x.service.work.Add(1)
		go func() {
			defer x.service.work.Done()
			defer func() { <-x.slots }()
			x.one(ctx, d)
		}()
	}
}

func (x *expiry) pop(now time.Time) (due, time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.due) == 0 {
		return due{}, time.Second
	}
	if wait := x.due[0].at.Sub(now); wait > 0 {
		return due{}, min(wait, time.Second)
	}
	return heap.Pop(&x.due).(due), 0
}

func (x *expiry) one(ctx context.Context, d due) {
	s := x.service
	if x.hasEnded(d) {
		return
	}
	if s.views.State(d.intercom).Stopped != "" { // nothing may be decided there
		d.at = d.at.Add(expireStopped)
		x.add(d)
		return
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m := commands.Meta{Intercom: d.intercom, Via: events.ViaTimer, Command: s.newID(), EventID: s.newID(), Clock: true}
	_, err := s.commit(short, m, "expire", func(st projections.State, now time.Time) (events.Event, error) {
		return commands.DecideExpire(st, m, d.code, now)
	})
	if err == nil || ctx.Err() != nil || x.hasEnded(d) {
		return
	}
	s.Log.Warn("a code could not be expired and is tried again", "intercom", d.intercom, "code", d.code, "error", err)
	if now, err := s.Clock(); err == nil && now.After(d.at) {
		d.at = now
	}
	d.at = d.at.Add(expireAgain)
	x.add(d)
}

// hasEnded reports whether nothing is left to write of a code: it ended
// otherwise, or another ledger was first. A clock that was set back a little
// since the code fell due is no such reason.
func (x *expiry) hasEnded(d due) bool {
	c, ok := x.service.views.State(d.intercom).Code(d.code)
	return !ok || !c.RevokedAt.IsZero() || !c.ExitedAt.IsZero() || !c.ExpiredAt.IsZero()
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
