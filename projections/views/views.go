package views

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/projections"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrGap is an event that cannot be applied yet: earlier ones are missing here.
var ErrGap = errors.New("earlier events are missing")

// Config says where the views are kept and who hears of changes.
type Config struct {
	Ledger   *ledger.Log
	Replicas int
	Log      *slog.Logger
	// Room, when set, makes room on a full volume for one more write. A store that
	// meets a full one stops taking writes until it is opened again.
	Room func() error
	// OnApply is told of each event once it is applied, in revision order for
	// each intercom, with the state after it. It must be quick and must not call
	// back into the views. The event may not be durable yet.
	OnApply func(projections.State, events.Stored)
}

// Opened says what an open found and did.
type Opened struct {
	Views   int    // kept views taken as they were
	Rebuilt int    // views rebuilt from all their events
	Events  uint64 // events read
}

// Views are the states of all intercoms.
type Views struct {
	config Config
	ledger *ledger.Log

	mu      sync.RWMutex
	entries map[string]*entry
	low     lowWater

	keep   keeper
	opened Opened
}

type entry struct {
	mu     sync.Mutex // held while a state is replaced
	state  atomic.Pointer[projections.State]
	halted atomic.Pointer[string] // why the state may not be decided on
	// kept is the bucket's revision of the view as this process last wrote or
	// read it; only the keeper uses it.
	kept uint64
}

// Open loads the kept views, checks them against the ledger, and applies the
// tail. An event that does not extend its chain is an error that wraps
// events.ErrChain: the ledger is not whole.
func Open(ctx context.Context, c Config) (*Views, error) {
	v := &Views{config: c, ledger: c.Ledger, entries: map[string]*entry{}}
	if err := v.load(ctx); err != nil {
		return nil, fmt.Errorf("open views: %w", err)
	}
	return v, nil
}

// Opened says what Open found.
func (v *Views) Opened() Opened { return v.opened }

// State is the intercom's state now, which nobody ever changes. Of each event in
// it OnApply has been told: who sees an event here finds what it left there.
func (v *Views) State(intercom string) projections.State {
	e := v.entry(intercom, false)
	if e == nil {
		return projections.State{Intercom: intercom}
	}
	e.mu.Lock()
	s := *e.state.Load()
	e.mu.Unlock()
	if why := e.halted.Load(); why != nil {
		s.Stopped = *why
	}
	return s
}

// Intercoms are the ids of all intercoms that have had an event.
func (v *Views) Intercoms() []string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	ids := make([]string, 0, len(v.entries))
	for id, e := range v.entries {
		if e.state.Load().Revision > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (v *Views) entry(intercom string, make bool) *entry {
	v.mu.RLock()
	e := v.entries[intercom]
	v.mu.RUnlock()
	if e != nil || !make {
		return e
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e = v.entries[intercom]; e == nil {
		e = &entry{}
		e.state.Store(&projections.State{Intercom: intercom})
		v.entries[intercom] = e
	}
	return e
}

// Apply takes an event into its intercom's state. One that is there already is
// nothing new; one that has a gap before it is ErrGap; one that does not fit
// the chain is events.ErrChain.
func (v *Views) Apply(s events.Stored) error {
	e := v.entry(s.Intercom, true)
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.state.Load()
	switch {
	case s.Revision <= before.Revision && s.Sequence > before.Sequence:
		return fmt.Errorf("apply revision %d of %s, which is at %d: %w: it is stored twice", s.Revision, s.Intercom, before.Revision, events.ErrChain)
	case s.Revision <= before.Revision:
		return nil
	case s.Revision > before.Revision+1:
		return fmt.Errorf("apply revision %d of %s after %d: %w", s.Revision, s.Intercom, before.Revision, ErrGap)
	}
	after, err := projections.Apply(*before, s)
	if err != nil {
		return err
	}
	e.state.Store(&after)
	// In this order: what the mark covers must be written or be known as not.
	v.keep.touch(s.Intercom)
	v.low.applied(s.Mark())
	if v.config.OnApply != nil {
		v.config.OnApply(after, s)
	}
	return nil
}

// few is up to how many missing events are asked for one by one; beyond, a
// consumer is cheaper.
const few = 16

// CatchUp applies what the leader has of the intercom and this process has not.
// When it returns nil, the leader has all that State gave before the call: a
// replica may hand an event to Follow before the leader has applied it, and what
// rests on it must not be told while who asks the leader cannot know of it.
func (v *Views) CatchUp(ctx context.Context, intercom string) error {
	last, err := v.newest(ctx, intercom)
	if err != nil {
		return fmt.Errorf("catch up %s: %w", intercom, err)
	}
	for range few {
		have := v.State(intercom).Sequence
		if have >= last.Sequence {
			return nil
		}
		next, err := v.ledger.Next(ctx, intercom, have)
		if err != nil {
			return fmt.Errorf("catch up %s: %w", intercom, err)
		}
		if err := v.Apply(next); err != nil {
			return fmt.Errorf("catch up %s: %w", intercom, err)
		}
	}
	r := ledger.Range{Intercom: intercom, From: v.State(intercom).Sequence + 1, Upto: last.Sequence}
	if err := v.ledger.Read(ctx, r, v.Apply); err != nil {
		return fmt.Errorf("catch up %s: %w", intercom, err)
	}
	return nil
}

// leaderLags is the pause between two looks at a leader that has not applied yet
// what a replica has.
const leaderLags = time.Millisecond

// newest is the intercom's newest event at the leader, once the leader has what
// is here; the zero event where there is none.
func (v *Views) newest(ctx context.Context, intercom string) (events.Stored, error) {
	have := v.State(intercom).Sequence
	for {
		last, err := v.ledger.Last(ctx, intercom)
		if errors.Is(err, ledger.ErrNone) {
			err = nil
		}
		if err != nil || last.Sequence >= have {
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(leaderLags):
		}
	}
}

// Follow applies what other ledgers store, until ctx ends. It is for a stream
// that this process does not write alone.
func (v *Views) Follow(ctx context.Context) error {
	return v.ledger.Follow(ctx, v.low.mark().Sequence+1, func(e events.Stored) {
		err := v.Apply(e)
		if errors.Is(err, ErrGap) {
			err = v.CatchUp(ctx, e.Intercom)
		}
		if err != nil && ctx.Err() == nil {
			v.config.Log.Error("event cannot be applied", "sequence", e.Sequence, "intercom", e.Intercom, "error", err)
		}
	})
}

// Halt makes an intercom's state undecidable in this process: what a reading in
// the background found wrong. The kept view stays as the events make it.
func (v *Views) Halt(intercom, why string) {
	v.entry(intercom, true).halted.CompareAndSwap(nil, &why)
}

// lowWater is the mark up to which every event is applied. Appends of different
// intercoms are acknowledged in any order, so a mark may wait for others.
type lowWater struct {
	mu      sync.Mutex
	low     events.Mark
	waiting map[uint64]events.Mark
}

func (l *lowWater) applied(m events.Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.Sequence <= l.low.Sequence {
		return
	}
	if l.waiting == nil {
		l.waiting = map[uint64]events.Mark{}
	}
	l.waiting[m.Sequence] = m
	for {
		next, ok := l.waiting[l.low.Sequence+1]
		if !ok {
			return
		}
		delete(l.waiting, next.Sequence)
		l.low = next
	}
}

func (l *lowWater) reset(m events.Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.low, l.waiting = m, nil
}

func (l *lowWater) mark() events.Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.low
}

func bucketConfig(replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{Bucket: Bucket, History: 1, Storage: jetstream.FileStorage, Replicas: replicas,
		Description: "views of the ledger; may be deleted at any time"}
}
