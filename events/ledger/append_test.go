package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAppendIsFenced(t *testing.T) {
	l := single(t)
	first := grow(t, l, "north", events.Stored{}, 1)
	second := grow(t, l, "north", first, 1)
	grow(t, l, "south", events.Stored{}, 1) // another intercom is in nobody's way
	for _, stale := range []events.Stored{{}, first} {
		if _, err := l.Append(t.Context(), prepare(t, "north", stale)); !errors.Is(err, ledger.ErrConflict) {
			t.Errorf("append after sequence %d: %v", stale.Sequence, err)
		}
	}
	third := grow(t, l, "north", second, 1)
	if third.Sequence != 4 || third.Extends(second.Link()) != nil {
		t.Errorf("stored %+v", third.Event)
	}
}

// Fact 1: the guard is keyed by the expression's text, so all appends must
// carry the same one.
func TestEveryAppendCarriesTheOneFence(t *testing.T) {
	l := single(t)
	last := grow(t, l, "north", events.Stored{}, 3)
	for sequence := uint64(1); sequence <= last.Sequence; sequence++ {
		m, err := stream(t, l).GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header.Values(jetstream.ExpectedLastSubjSeqSubjHeader); !slices.Equal(got, []string{events.Fence("north")}) {
			t.Errorf("sequence %d: fence %q", sequence, got)
		}
		e, err := events.Decode(m.Data, sequence)
		if err != nil || m.Header.Get(jetstream.MsgIDHeader) != e.ID || m.Subject != events.Subject("north", e.Type) {
			t.Errorf("sequence %d: id %q, subject %q (%v)", sequence, m.Header.Get(jetstream.MsgIDHeader), m.Subject, err)
		}
	}
}

// Fact 5, on which the shared barrier stands: on one replica the bytes are in
// the block file when the acknowledgement comes.
func TestEventIsInTheBlockFileBeforeItIsAcknowledged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, connect(t, testkit.StartNode(t, dir)), ledger.Config{})
	var last events.Stored
	for range 500 {
		last = grow(t, l, "north", last, 1)
		files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", events.Ledger, "msgs", "*.blk"))
		if err != nil || len(files) != 1 {
			t.Fatalf("block files %v (%v)", files, err)
		}
		raw, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(raw, last.Raw) {
			t.Fatalf("event %d was acknowledged before it was written", last.Sequence)
		}
	}
}

func TestSettle(t *testing.T) {
	url := plainServer(t)
	var line faulty
	l := open(t, line.connect(t, url), ledger.Config{Timeout: 200 * time.Millisecond})
	var other faulty
	elsewhere := open(t, other.connect(t, url), ledger.Config{})
	last := grow(t, l, "north", events.Stored{}, 1)

	unknown := func(t *testing.T) *ledger.Pending {
		t.Helper()
		p := prepare(t, "north", last)
		if _, err := l.Append(t.Context(), p); !errors.Is(err, ledger.ErrUnknown) {
			t.Fatalf("append without an answer: %v", err)
		}
		return p
	}
	settle := func(t *testing.T, p *ledger.Pending) {
		t.Helper()
		e, err := l.Settle(t.Context(), p)
		if err != nil || e.ID != p.Event.ID || e.Sequence != last.Sequence+1 {
			t.Fatalf("settled as %d %s (%v), want %d %s", e.Sequence, e.ID, err, last.Sequence+1, p.Event.ID)
		}
		last = e
		if got, err := l.At(t.Context(), e.Sequence); err != nil || got.Hash != e.Hash {
			t.Fatalf("the stream has %+v (%v)", got.Event, err)
		}
	}
	t.Run("not stored", func(t *testing.T) {
		line.dropAppends.Store(true)
		p := unknown(t)
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := l.Settle(short, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("settled on a dead line: %v", err)
		}
		line.dropAppends.Store(false)
		settle(t, p)
	})
	t.Run("stored, reported as failed", func(t *testing.T) {
		line.dropAcks.Store(true)
		p := unknown(t)
		line.dropAcks.Store(false)
		settle(t, p)
	})
	t.Run("stored, and the server has forgotten the message id", func(t *testing.T) {
		line.dropAcks.Store(true)
		p := unknown(t)
		line.dropAcks.Store(false)
		reconfigure(t, elsewhere, func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond })
		changed := time.Now()
		testkit.Eventually(t, time.Second, func() error { // nothing tells that the window has passed
			if time.Since(changed) < 300*time.Millisecond {
				return errors.New("the server may still know the id")
			}
			return nil
		})
		settle(t, p)
	})
	t.Run("another was first", func(t *testing.T) {
		line.dropAppends.Store(true)
		p := unknown(t)
		line.dropAppends.Store(false)
		last = grow(t, elsewhere, "north", last, 1)
		if _, err := l.Settle(t.Context(), p); !errors.Is(err, ledger.ErrConflict) {
			t.Fatalf("settled as %v", err)
		}
	})
	if line.lost.Load() < 4 {
		t.Errorf("the line lost %d messages: the faults did not happen", line.lost.Load())
	}
	if got, err := sequences(t.Context(), elsewhere, ledger.Range{From: 1, Upto: last.Sequence}); err != nil || uint64(len(got)) != last.Sequence {
		t.Errorf("stored %v (%v), want each event once", got, err)
	}
}

// The same message sent again is answered with an error on one replica and with
// success on three: either way it is ours, once (fact 2).
func TestResentEventIsOurs(t *testing.T) {
	cluster := testkit.StartCluster(t)
	for name, l := range map[string]*ledger.Log{
		"one replica": single(t), "three replicas": open(t, connect(t, cluster.Join()), ledger.Config{Replicas: 3}),
	} {
		t.Run(name, func(t *testing.T) {
			p := prepare(t, "north", events.Stored{})
			first, err := l.Append(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Append(t.Context(), p)
			t.Logf("sent again: %v", err)
			again, err := l.Settle(t.Context(), p)
			if err != nil || again.Sequence != first.Sequence {
				t.Errorf("settled at %d (%v), stored at %d", again.Sequence, err, first.Sequence)
			}
		})
	}
}

func TestUnavailableStoresNothing(t *testing.T) {
	l := single(t)
	if err := l.JetStream().DeleteStream(t.Context(), events.Ledger); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), prepare(t, "north", events.Stored{})); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("append to no stream: %v", err)
	}
}
