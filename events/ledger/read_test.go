package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

// both runs a test on one replica and on three.
func both(t *testing.T, f func(*testing.T, *ledger.Log)) {
	t.Run("one replica", func(t *testing.T) { f(t, single(t)) })
	t.Run("three replicas", func(t *testing.T) {
		f(t, open(t, connect(t, testkit.StartCluster(t).Join()), ledger.Config{Replicas: 3}))
	})
}

func TestReadingEndsWhereTheRangeEnds(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Log) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for _, r := range []ledger.Range{{}, {From: 1}, {Intercom: "north", Upto: 5}, {Since: time.Unix(0, 0), Upto: 5}} {
			if got, err := sequences(ctx, l, r); err != nil || len(got) != 0 {
				t.Errorf("empty stream, %+v: %v (%v)", r, got, err)
			}
		}
		// north has 1, 2, 5, 6 and south has 3, 4, 7.
		north := grow(t, l, "north", events.Stored{}, 2)
		south := grow(t, l, "south", events.Stored{}, 2)
		between, err := stream(t, l).GetMsg(ctx, 4)
		if err != nil {
			t.Fatal(err)
		}
		grow(t, l, "north", north, 2)
		grow(t, l, "south", south, 1)
		after := between.Time.Add(1)
		for _, c := range []struct {
			r    ledger.Range
			want []uint64
		}{
			{ledger.Range{Upto: 7}, []uint64{1, 2, 3, 4, 5, 6, 7}},
			{ledger.Range{From: 3, Upto: 5}, []uint64{3, 4, 5}},
			{ledger.Range{From: 7, Upto: 7}, []uint64{7}},
			{ledger.Range{From: 6, Upto: 5}, []uint64{}},
			{ledger.Range{Intercom: "north", Upto: 7}, []uint64{1, 2, 5, 6}},
			{ledger.Range{Intercom: "north", Upto: 4}, []uint64{1, 2}},
			{ledger.Range{Intercom: "north", Upto: 5}, []uint64{1, 2, 5}},
			{ledger.Range{Intercom: "north", From: 3, Upto: 4}, []uint64{}},
			{ledger.Range{Intercom: "north", From: 7, Upto: 7}, []uint64{}},
			{ledger.Range{Intercom: "south", Upto: 2}, []uint64{}},
			{ledger.Range{Intercom: "south", Upto: 6}, []uint64{3, 4}},
			{ledger.Range{Intercom: "nobody", Upto: 7}, []uint64{}},
			{ledger.Range{Since: after, Upto: 7}, []uint64{5, 6, 7}},
			{ledger.Range{Since: after, Upto: 4}, []uint64{}},
			{ledger.Range{Since: after, Intercom: "south", Upto: 7}, []uint64{7}},
			{ledger.Range{Since: after, Intercom: "south", Upto: 6}, []uint64{}},
			{ledger.Range{Since: time.Now().Add(time.Hour), Upto: 7}, []uint64{}},
			{ledger.Range{Since: time.Now().Add(time.Hour), Intercom: "north", Upto: 7}, []uint64{}},
			{ledger.Range{Since: time.Now().Add(-time.Hour), Intercom: "north", Upto: 7}, []uint64{1, 2, 5, 6}},
		} {
			if got, err := sequences(ctx, l, c.r); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v: %v, want %v (%v)", c.r, got, c.want, err)
			}
		}
		if n := len(consumers(t, l)); n != 0 {
			t.Errorf("%d consumers are left behind", n)
		}
	})
}

func TestAskingTheLeader(t *testing.T) {
	both(t, func(t *testing.T, l *ledger.Log) {
		ctx := t.Context()
		first := grow(t, l, "north", events.Stored{}, 1)
		grow(t, l, "south", events.Stored{}, 1)
		third := grow(t, l, "north", first, 1)
		for name, c := range map[string]struct {
			get  func() (events.Stored, error)
			want events.Stored
		}{
			"at":         {func() (events.Stored, error) { return l.At(ctx, 3) }, third},
			"last":       {func() (events.Stored, error) { return l.Last(ctx, "north") }, third},
			"next":       {func() (events.Stored, error) { return l.Next(ctx, "north", 1) }, third},
			"next of 0":  {func() (events.Stored, error) { return l.Next(ctx, "north", 0) }, first},
			"none at":    {func() (events.Stored, error) { return l.At(ctx, 4) }, events.Stored{}},
			"none last":  {func() (events.Stored, error) { return l.Last(ctx, "nobody") }, events.Stored{}},
			"none next":  {func() (events.Stored, error) { return l.Next(ctx, "south", 2) }, events.Stored{}},
			"none after": {func() (events.Stored, error) { return l.Next(ctx, "north", 99) }, events.Stored{}},
		} {
			e, err := c.get()
			if c.want.Sequence == 0 && !errors.Is(err, ledger.ErrNone) || c.want.Sequence != 0 && (err != nil || e.Mark() != c.want.Mark()) {
				t.Errorf("%s: %d %s (%v), want %d", name, e.Sequence, e.ID, err, c.want.Sequence)
			}
		}
		any := func(events.Stored) bool { return true }
		if _, err := l.IssuedAfter(ctx, "north", time.Now().Add(-time.Hour), any); !errors.Is(err, ledger.ErrNone) {
			t.Errorf("found a code that was never issued: %v", err)
		}
		issued, err := events.New(ulid.Make().String(), events.Issued, "operator", "cli", first.ID, events.IssuedData{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := ledger.Prepare(issued.Chained("north", third.Link(), time.Now()), third.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(ctx, p); err != nil {
			t.Fatal(err)
		}
		if e, err := l.IssuedAfter(ctx, "north", time.Now().Add(-time.Hour), any); err != nil || e.Sequence != 4 {
			t.Errorf("found %d (%v)", e.Sequence, err)
		}
		if _, err := l.IssuedAfter(ctx, "north", time.Now().Add(time.Hour), any); !errors.Is(err, ledger.ErrNone) {
			t.Errorf("found a code issued in the future: %v", err)
		}
	})
}

// A consumer that goes away in the middle of a long reading is replaced, and
// nothing is lost, doubled or out of order.
func TestReadingSurvivesTheLossOfItsConsumer(t *testing.T) {
	l := single(t)
	const n = 25000
	for i := range n {
		if _, err := l.JetStream().PublishMsgAsync(&nats.Msg{Subject: "ledger.north.x", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 {
			<-l.JetStream().PublishAsyncComplete()
		}
	}
	next, lost := uint64(1), 0
	err := l.ReadRaw(t.Context(), ledger.Range{Upto: n}, func(m ledger.Raw) error {
		if m.Sequence != next {
			return fmt.Errorf("got %d, want %d", m.Sequence, next)
		}
		if next++; next == 7000 {
			for _, name := range consumers(t, l) {
				lost++
				return l.JetStream().DeleteConsumer(t.Context(), events.Ledger, name)
			}
		}
		return nil
	})
	if err != nil || next != n+1 || lost == 0 {
		t.Errorf("read up to %d, %d consumers lost (%v)", next-1, lost, err)
	}
}

func TestReadingEndsWithItsCallerAndItsContext(t *testing.T) {
	l := single(t)
	grow(t, l, "north", events.Stored{}, 5)
	enough := errors.New("enough")
	read := 0
	err := l.Read(t.Context(), ledger.Range{Upto: 5}, func(events.Stored) error {
		if read++; read == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || read != 2 {
		t.Errorf("read %d events (%v)", read, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Read(ctx, ledger.Range{Upto: 5}, func(events.Stored) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("read on: %v", err)
	}
}

// On replicas a range that cannot be read to its end is an error, never short.
func TestShortReadingIsAnError(t *testing.T) {
	l := open(t, connect(t, testkit.StartCluster(t).Join()), ledger.Config{Replicas: 3, Timeout: 500 * time.Millisecond})
	grow(t, l, "north", events.Stored{}, 3)
	if got, err := sequences(t.Context(), l, ledger.Range{Upto: 4}); err == nil {
		t.Errorf("read %v of 4 events without an error", got)
	}
}

func TestFollowGoesOnThroughLeaderChanges(t *testing.T) {
	cluster := testkit.StartCluster(t)
	writer := open(t, connect(t, cluster.Join()), ledger.Config{Replicas: 3})
	reader := open(t, connect(t, cluster.Join()), ledger.Config{Replicas: 3})
	ctx, stop := context.WithCancel(t.Context())
	seen := make(chan uint64, 1000)
	ended := make(chan error, 1)
	go func() { ended <- reader.Follow(ctx, 3, func(e events.Stored) { seen <- e.Sequence }) }()
	last := events.Stored{}
	for round := range 3 {
		for range 10 {
			p := prepare(t, "north", last)
			testkit.Eventually(t, 10*time.Second, func() error {
				e, err := writer.Settle(t.Context(), p)
				last = e
				return err
			})
		}
		if round < 2 {
			cluster.StepDown(events.Ledger)
		}
	}
	for want := uint64(3); want <= last.Sequence; want++ {
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("followed to %d, want %d", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("event %d did not come", want)
		}
	}
	if m, _ := reader.Durable().Mark(); m != last.Mark() {
		t.Errorf("follower knows %d as durable, want %d", m.Sequence, last.Sequence)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("following ended with %v", err)
	}
}

func consumers(t *testing.T, l *ledger.Log) []string {
	t.Helper()
	var names []string
	lister := stream(t, l).ConsumerNames(t.Context())
	for name := range lister.Name() {
		names = append(names, name)
	}
	if err := lister.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		t.Fatal(err)
	}
	return names
}
