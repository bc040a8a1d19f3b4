package ledger_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/testkit"

	"go.uber.org/goleak"
)

// disk is a fake sync that a test can hold up and fail.
type disk struct {
	began, ended atomic.Int64
	gate         chan struct{} // each sync takes one, when set
	err          atomic.Pointer[error]
}

func (d *disk) sync() error {
	n := d.began.Add(1)
	if d.gate != nil {
		<-d.gate
	}
	if err := d.err.Load(); err != nil {
		return *err
	}
	d.ended.Store(n)
	return nil
}

// held is a ledger whose first sync, that of Open, is over and whose others
// wait for the gate.
func held(t *testing.T, d *disk) *ledger.Log {
	t.Helper()
	d.gate = make(chan struct{}, 1)
	d.gate <- struct{}{}
	return open(t, connect(t, testkit.StartNode(t, t.TempDir())), ledger.Config{Sync: d.sync})
}

func began(d *disk, n int64) func() error {
	return func() error {
		if got := d.began.Load(); got < n {
			return errors.New("only " + strconv.FormatInt(got, 10) + " syncs began")
		}
		return nil
	}
}

func TestWhoComesDuringASyncWaitsForTheNext(t *testing.T) {
	var d disk
	l := held(t, &d)
	first := grow(t, l, "north", events.Stored{}, 1)
	early, late := make(chan error, 1), make(chan error, 3)
	go func() { early <- l.Durable().Wait(t.Context(), first.Sequence) }()
	testkit.Eventually(t, 5*time.Second, began(&d, 2))

	second := grow(t, l, "north", first, 1)
	for range cap(late) {
		go func() { late <- l.Durable().Wait(t.Context(), second.Sequence) }()
	}
	d.gate <- struct{}{}
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 5*time.Second, began(&d, 3))
	if m, _ := l.Durable().Mark(); m != first.Mark() {
		t.Errorf("durable up to %d while only %d was synced", m.Sequence, first.Sequence)
	}
	select {
	case err := <-late:
		t.Fatalf("told before the sync that covers it: %v", err)
	default:
	}
	d.gate <- struct{}{}
	close(d.gate) // one of them may have come too late for the others' sync
	for range cap(late) {
		if err := <-late; err != nil {
			t.Fatal(err)
		}
	}
	if m, _ := l.Durable().Mark(); m != second.Mark() {
		t.Errorf("durable up to %d, want %d", m.Sequence, second.Sequence)
	}
	syncs := d.began.Load()
	if err := l.Durable().Wait(t.Context(), second.Sequence); err != nil || d.began.Load() != syncs {
		t.Errorf("what is durable was synced again (%v)", err)
	}
}

func TestFailedSyncReachesAllForEver(t *testing.T) {
	var d disk
	l := held(t, &d)
	e := grow(t, l, "north", events.Stored{}, 1)
	broken := errors.New("input/output error")
	answers := make(chan error, 4)
	wait := func() { answers <- l.Durable().Wait(context.Background(), e.Sequence) }
	go wait()
	testkit.Eventually(t, 5*time.Second, began(&d, 2))
	for range 3 { // these join the next group
		go wait()
	}
	d.err.Store(&broken)
	close(d.gate)
	for range cap(answers) {
		if err := <-answers; !errors.Is(err, ledger.ErrBarrier) || !errors.Is(err, broken) {
			t.Errorf("told %v", err)
		}
	}
	d.err.Store(nil) // the kernel reports a lost page only once
	syncs := d.began.Load()
	for name, err := range map[string]error{
		"wait":            l.Durable().Wait(t.Context(), e.Sequence),
		"wait for an old": l.Durable().Wait(t.Context(), 0),
		"barrier":         l.Durable().Barrier(t.Context()),
		"failed":          l.Durable().Failed(),
	} {
		if !errors.Is(err, ledger.ErrBarrier) {
			t.Errorf("%s after the failure: %v", name, err)
		}
	}
	if m, _ := l.Durable().Mark(); m.Sequence != 0 || d.began.Load() != syncs {
		t.Errorf("the mark moved to %d, %d syncs after the failure", m.Sequence, d.began.Load()-syncs)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	var d disk
	l := held(t, &d)
	e := grow(t, l, "north", events.Stored{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() { answer <- l.Durable().Wait(ctx, e.Sequence) }()
	testkit.Eventually(t, 5*time.Second, began(&d, 2))
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("told %v", err)
	}
	close(d.gate)
}

func TestCloseAnswersWhoWaitsAndWhoComesLater(t *testing.T) {
	var d disk
	nc := connect(t, testkit.StartNode(t, t.TempDir()))
	open(t, nc, ledger.Config{}).Close() // so that the server's own part is running
	leaks := goleak.IgnoreCurrent()
	l := open(t, nc, ledger.Config{Sync: d.sync})
	e := grow(t, l, "north", events.Stored{}, 1)
	answer := make(chan error, 1)
	go func() { answer <- l.Durable().Wait(context.Background(), e.Sequence) }()
	<-answer
	l.Close()
	l.Close()
	if err := l.Durable().Barrier(context.Background()); err == nil {
		t.Error("a closed ledger promised something")
	}
	goleak.VerifyNone(t, leaks, goleak.IgnoreAnyFunction("github.com/nats-io/nats%2ego.(*Conn).waitForMsgs")) // the connection's
}

// Law 3 as a property: nobody is told before a sync has ended that began after
// the event was acknowledged.
func TestNobodyIsToldBeforeASyncThatBeganAfterTheEvent(t *testing.T) {
	var d disk
	l := open(t, connect(t, testkit.StartNode(t, t.TempDir())), ledger.Config{Sync: d.sync})
	var all sync.WaitGroup
	const callers, each = 16, 200
	for i := range callers {
		all.Add(1)
		go func() {
			defer all.Done()
			var last events.Stored
			for range each {
				p, err := ledger.Prepare(event("gate-"+strconv.Itoa(i), last), last.Sequence)
				if err == nil {
					last, err = l.Append(t.Context(), p)
				}
				before := d.began.Load()
				if err == nil {
					err = l.Durable().Wait(t.Context(), last.Sequence)
				}
				// The mark may have been moved by a sync that began after the
				// acknowledgement and before this goroutine looked.
				if m, _ := l.Durable().Mark(); err != nil || m.Sequence < last.Sequence || d.ended.Load() < before {
					t.Errorf("told of %d: durable %d, sync %d of %d ended (%v)", last.Sequence, m.Sequence, d.ended.Load(), before, err)
					return
				}
			}
		}()
	}
	all.Wait()
	if n := d.began.Load(); n > callers*each+1 { // and the one of the open
		t.Errorf("%d syncs for %d waits", n, callers*each)
	}
}

// Where the acknowledgement means durable, the mark follows it at once.
func TestWithoutSyncTheMarkIsWhatWasAcknowledged(t *testing.T) {
	l := single(t)
	_, changed := l.Durable().Mark()
	e := grow(t, l, "north", events.Stored{}, 1)
	<-changed
	if m, _ := l.Durable().Mark(); m != e.Mark() || l.Durable().Wait(t.Context(), e.Sequence) != nil {
		t.Errorf("durable up to %+v", m)
	}
}
