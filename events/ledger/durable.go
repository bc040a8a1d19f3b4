package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"gatebook/events"
)

// ErrBarrier is what everybody gets once a sync has failed: what was written
// before it may be lost, so nothing more may be told.
var ErrBarrier = errors.New("the disk did not confirm what was written")

// errClosed is what who waits gets once the ledger is closed.
var errClosed = errors.New("the ledger is closed")

// Durable is the durable mark: the newest event known to be on disk. One sync
// serves all who wait when it begins; whoever comes while it runs waits for the
// next, because only a sync that began after the server's acknowledgement
// covers it. Nobody lingers to make a group larger.
type Durable struct {
	sync   func() error
	onSync func(int, time.Duration)
	onFail func(error)

	mu      sync.Mutex
	stored  events.Mark // the newest acknowledged event
	mark    events.Mark // the newest durable one
	next    *group      // who waits for the next sync; nil when nobody does
	failed  error
	changed chan struct{} // closed and replaced when mark moves

	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

type group struct {
	done    chan struct{}
	err     error
	waiters int
}

func newDurable(sync func() error, onSync func(int, time.Duration), onFail func(error)) *Durable {
	d := &Durable{
		sync: sync, onSync: onSync, onFail: onFail, changed: make(chan struct{}),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if onSync == nil {
		d.onSync = func(int, time.Duration) {}
	}
	if onFail == nil {
		d.onFail = func(error) {}
	}
	go d.run()
	return d
}

// note says that the server has acknowledged an event.
func (d *Durable) note(m events.Mark) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.Sequence > d.stored.Sequence {
		d.stored = m
		if d.sync == nil {
			d.advance(m)
		}
	}
}

// advance needs d.mu.
func (d *Durable) advance(m events.Mark) {
	if m.Sequence > d.mark.Sequence {
		d.mark = m
		close(d.changed)
		d.changed = make(chan struct{})
	}
}

// Mark is the newest durable event, and a channel that is closed when it moves.
func (d *Durable) Mark() (events.Mark, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mark, d.changed
}

// Failed reports the failure after which nothing may be told.
func (d *Durable) Failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// Wait returns nil once the event at sequence, which must have been stored, is
// durable. A refusal or a list that rests on an event waits for it too (law 3).
func (d *Durable) Wait(ctx context.Context, sequence uint64) error {
	d.mu.Lock()
	covered := sequence <= d.mark.Sequence
	failed := d.failed
	d.mu.Unlock()
	if failed != nil {
		return failed
	}
	if covered {
		return nil
	}
	return d.Barrier(ctx)
}

// Barrier returns nil once a sync that began after the call has ended well.
func (d *Durable) Barrier(ctx context.Context) error {
	if d.sync == nil {
		return nil
	}
	g, err := d.join()
	if err != nil {
		return err
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the disk: %w", ctx.Err())
	}
}

func (d *Durable) join() (*group, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return nil, d.failed
	}
	if d.next == nil {
		d.next = &group{done: make(chan struct{})}
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
	d.next.waiters++
	return d.next, nil
}

func (d *Durable) run() {
	defer close(d.done)
	for {
		select {
		case <-d.wake:
			d.syncOnce()
		case <-d.stop:
			d.syncOnce() // answer who still waits
			d.shut()
			return
		}
	}
}

// letIn is how often a sync lets who is ready to run go first, so that they may
// join it. With nobody ready that takes no time: a lone caller waits for nothing.
const letIn = 64

func (d *Durable) syncOnce() {
	for range letIn {
		runtime.Gosched()
	}
	d.mu.Lock()
	g, target, failed := d.next, d.stored, d.failed
	d.next = nil
	d.mu.Unlock()
	if g == nil {
		return
	}
	began := time.Now()
	err := failed
	if err == nil {
		if err = d.sync(); err != nil {
			err = fmt.Errorf("%w: %w", ErrBarrier, err)
		}
	}
	d.onSync(g.waiters, time.Since(began))
	d.mu.Lock()
	if err == nil {
		d.advance(target)
	} else {
		d.failed = err // for good: the kernel reports a lost page only once
	}
	d.mu.Unlock()
	if err != nil && failed == nil {
		d.onFail(err)
	}
	g.err = err
	close(g.done)
}

// shut answers who comes when no sync will run any more.
func (d *Durable) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = errClosed
	}
	if d.next != nil {
		d.next.err = d.failed
		close(d.next.done)
		d.next = nil
	}
}

func (d *Durable) close() {
	select {
	case <-d.stop:
	default:
		close(d.stop)
	}
	<-d.done
}
