package views_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/node"
	"gatebook/ops/testkit"
	"gatebook/projections"
	"gatebook/projections/views"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

func openLedger(t testing.TB, n *node.Node, replicas int) *ledger.Log {
	t.Helper()
	nc, err := n.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), nc, ledger.Config{Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func fresh(t testing.TB) *ledger.Log { return openLedger(t, testkit.StartNode(t, t.TempDir()), 1) }

func config(l *ledger.Log, replicas int) views.Config {
	return views.Config{Ledger: l, Replicas: replicas, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func open(t testing.TB, l *ledger.Log) *views.Views {
	t.Helper()
	v, err := views.Open(t.Context(), config(l, 1))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// add appends an event of any type to an intercom and applies it to v.
func add(t testing.TB, l *ledger.Log, v *views.Views, intercom string, what events.Type, data any) events.Stored {
	t.Helper()
	s := v.State(intercom)
	e, err := events.New(ulid.Make().String(), what, "operator", "cli", ulid.Make().String(), data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ledger.Prepare(e.Chained(intercom, s.Link, time.Now()), s.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := l.Append(t.Context(), p)
	if err == nil {
		err = v.Apply(stored)
	}
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// live adds settings and n codes, every third one entered and every second of
// the others revoked.
func live(t testing.TB, l *ledger.Log, v *views.Views, intercom string, n int) {
	t.Helper()
	add(t, l, v, intercom, events.Configured, events.ConfiguredData{EntryDevice: "gate", Limit: 1000, ValidityS: 60})
	for i := range n {
		id := ulid.Make().String()
		add(t, l, v, intercom, events.Issued, events.IssuedData{CodeID: id, Sealed: []byte("box"), EntryDevice: "gate", ExitDevice: "gate", ExpiresAt: time.Now().UTC().Add(time.Hour)})
		if i%3 == 0 {
			add(t, l, v, intercom, events.Entered, events.UsedData{CodeID: id, Device: "gate"})
		} else if i%2 == 0 {
			add(t, l, v, intercom, events.Revoked, events.EndedData{CodeID: id})
		}
	}
}

func write(t testing.TB, v *views.Views) {
	t.Helper()
	if err := v.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func bucket(t testing.TB, l *ledger.Log) jetstream.KeyValue {
	t.Helper()
	kv, err := l.JetStream().KeyValue(t.Context(), views.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// kept are the bucket's bytes of each intercom.
func kept(t testing.TB, l *ledger.Log, intercoms ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, i := range intercoms {
		e, err := bucket(t, l).Get(t.Context(), "intercom."+i)
		if err != nil {
			t.Fatalf("view of %s: %v", i, err)
		}
		all[i] = string(e.Value())
	}
	return all
}

// mustBeTheEvents compares every state with a fold of all events.
func mustBeTheEvents(t testing.TB, l *ledger.Log, v *views.Views) {
	t.Helper()
	last, err := l.LastSequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	states, err := views.Rebuild(t.Context(), l, ledger.Range{Upto: last})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range states {
		a, err1 := views.Encode(v.State(id))
		b, err2 := views.Encode(want)
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
			t.Errorf("view of %s is not what its events make (%v)\n%s\n%s", id, err, a, b)
		}
	}
	if n := len(v.Intercoms()); n != len(states) {
		t.Errorf("%d views of %d intercoms", n, len(states))
	}
}

func TestDeletedBucketIsRebuiltByteIdentical(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	live(t, l, v, "north", 20)
	live(t, l, v, "south", 5)
	write(t, v)
	before := kept(t, l, "north", "south")
	if err := l.JetStream().DeleteKeyValue(t.Context(), views.Bucket); err != nil {
		t.Fatal(err)
	}
	write(t, v) // under the running process, which has nothing new to write
	for id, raw := range kept(t, l, "north", "south") {
		if raw != before[id] {
			t.Errorf("view of %s was rewritten differently", id)
		}
	}
	if err := l.JetStream().DeleteKeyValue(t.Context(), views.Bucket); err != nil {
		t.Fatal(err)
	}
	again := open(t, l)
	if o := again.Opened(); o.Views == 0 && o.Events == 0 {
		t.Errorf("opened %+v", o)
	}
	write(t, again)
	for id, raw := range kept(t, l, "north", "south") {
		if raw != before[id] {
			t.Errorf("view of %s was rebuilt differently", id)
		}
	}
	mustBeTheEvents(t, l, again)
}

// One view that somebody deleted comes back with the next event, and a start
// without it rebuilds.
func TestOneDeletedViewComesBack(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	live(t, l, v, "north", 3)
	live(t, l, v, "south", 3)
	write(t, v)
	remove := func() {
		if err := bucket(t, l).Delete(t.Context(), "intercom.north"); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	mustBeTheEvents(t, l, open(t, l))
	live(t, l, v, "north", 1)
	write(t, v)
	kept(t, l, "north")
	remove()
	again := open(t, l)
	if o := again.Opened(); o.Views != 0 {
		t.Errorf("believed %d of too few views", o.Views)
	}
	mustBeTheEvents(t, l, again)
}

func TestOnlyTheTailIsRead(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	for i := range 10 {
		live(t, l, v, "gate-"+strconv.Itoa(i), 10)
	}
	write(t, v)
	if o := open(t, l).Opened(); o != (views.Opened{Views: 10}) {
		t.Errorf("nothing new: opened %+v", o)
	}
	for range 7 {
		add(t, l, v, "gate-3", events.Configured, events.ConfiguredData{EntryDevice: "door", Limit: 3, ValidityS: 60})
	}
	again := open(t, l)
	if o := again.Opened(); o != (views.Opened{Views: 10, Events: 7}) {
		t.Errorf("7 new events: opened %+v", o)
	}
	mustBeTheEvents(t, l, again)
}

func TestViewsThatCannotBeBelieved(t *testing.T) {
	put := func(t *testing.T, l *ledger.Log, key string, change func([]byte) []byte) {
		e, err := bucket(t, l).Get(t.Context(), key)
		if err == nil {
			_, err = bucket(t, l).Put(t.Context(), key, change(bytes.Clone(e.Value())))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	other := func(t *testing.T, s projections.State) []byte {
		raw, err := views.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, c := range map[string]struct {
		damage func(*testing.T, *ledger.Log, *views.Views)
		want   views.Opened
	}{
		"one wrong byte": {func(t *testing.T, l *ledger.Log, _ *views.Views) {
			put(t, l, "intercom.north", func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}, views.Opened{Views: 1, Rebuilt: 1, Events: 4}},
		"no JSON": {func(t *testing.T, l *ledger.Log, _ *views.Views) {
			put(t, l, "intercom.north", func([]byte) []byte { return nil })
		}, views.Opened{Views: 1, Rebuilt: 1, Events: 4}},
		"another intercom's": {func(t *testing.T, l *ledger.Log, v *views.Views) {
			put(t, l, "intercom.north", func([]byte) []byte { return other(t, v.State("south")) })
		}, views.Opened{Views: 1, Rebuilt: 1, Events: 4}},
		"ahead of the ledger's end": {func(t *testing.T, l *ledger.Log, v *views.Views) {
			s := v.State("north")
			s.Sequence, s.Revision = 99, 99
			put(t, l, "intercom.north", func([]byte) []byte { return other(t, s) })
		}, views.Opened{Views: 1, Rebuilt: 1, Events: 4}},
		"the mark does not hold": {func(t *testing.T, l *ledger.Log, _ *views.Views) {
			put(t, l, "mark", func(b []byte) []byte { return bytes.Replace(b, []byte(`"hash":"`), []byte(`"hash":"0`), 1) })
		}, views.Opened{Events: 8}},
		"the mark is ahead of the ledger's end": {func(t *testing.T, l *ledger.Log, _ *views.Views) {
			put(t, l, "mark", func([]byte) []byte { return []byte(`{"sequence":99,"id":"x","hash":"y","intercoms":2}`) })
		}, views.Opened{Events: 8}},
		"the mark is no JSON": {func(t *testing.T, l *ledger.Log, _ *views.Views) {
			put(t, l, "mark", func([]byte) []byte { return []byte("?") })
		}, views.Opened{Events: 8}},
	} {
		t.Run(name, func(t *testing.T) {
			l := fresh(t)
			v := open(t, l)
			live(t, l, v, "north", 2) // 4 events each
			live(t, l, v, "south", 2)
			write(t, v)
			before := kept(t, l, "north", "south")
			c.damage(t, l, v)
			again := open(t, l)
			if o := again.Opened(); o != c.want {
				t.Errorf("opened %+v, want %+v", o, c.want)
			}
			mustBeTheEvents(t, l, again)
			write(t, again)
			if got := kept(t, l, "north", "south"); fmt.Sprint(got) != fmt.Sprint(before) {
				t.Errorf("written again: %s, before: %s", got, before)
			}
		})
	}
}

// A crash between the writing of views and of the mark leaves views that are
// newer than the mark: they are believed, and nothing is applied twice.
func TestViewsNewerThanTheMark(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	live(t, l, v, "north", 2)
	write(t, v)
	mark, err := bucket(t, l).Get(t.Context(), "mark")
	if err != nil {
		t.Fatal(err)
	}
	live(t, l, v, "north", 2)
	live(t, l, v, "south", 2)
	write(t, v)
	if _, err := bucket(t, l).Put(t.Context(), "mark", mark.Value()); err != nil {
		t.Fatal(err)
	}
	again := open(t, l)
	if o := again.Opened(); o.Views != 2 || o.Rebuilt != 0 {
		t.Errorf("opened %+v", o)
	}
	mustBeTheEvents(t, l, again)
}

// Events are applied while the views are written: whatever mark is kept, the
// views under it have every event that it covers.
func TestTheMarkNeverCoversWhatIsNotWritten(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for ctx.Err() == nil {
			_ = v.Write(ctx) // it ends with the context
		}
	}()
	for round := range 30 {
		for i := range 20 {
			add(t, l, v, "gate-"+strconv.Itoa(i), events.Configured, events.ConfiguredData{EntryDevice: "gate", Limit: round + 1, ValidityS: 60})
		}
		mustBeTheEvents(t, l, open(t, l)) // as after a crash at this very moment
	}
	stop()
	<-written
}

func TestTwoProcessesKeepOneBucket(t *testing.T) {
	l := fresh(t)
	a, b := open(t, l), open(t, l)
	for range 5 {
		for _, v := range []*views.Views{a, b} {
			for _, id := range []string{"north", "south"} {
				if err := v.CatchUp(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				live(t, l, v, id, 10) // more than are asked for one by one
			}
		}
		write(t, b)
		write(t, a) // has an older view of both, which must not take the place
		mustBeTheEvents(t, l, open(t, l))
		if o := open(t, l).Opened(); o.Rebuilt != 0 {
			t.Errorf("opened %+v", o)
		}
	}
}

func TestFollowingAppliesWhatOthersStore(t *testing.T) {
	l := fresh(t)
	a, b := open(t, l), open(t, l)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Follow(ctx) }()
	live(t, l, a, "north", 20)
	testkit.Eventually(t, 10*time.Second, func() error {
		if got, want := b.State("north").Revision, a.State("north").Revision; got != want {
			return fmt.Errorf("revision %d, want %d", got, want)
		}
		return nil
	})
	stop()
	<-ended
	mustBeTheEvents(t, l, b)
}

func TestApplyTakesEachEventOnceAndInOrder(t *testing.T) {
	l := fresh(t)
	source, v := open(t, l), open(t, l)
	var all []events.Stored
	for range 3 {
		all = append(all, add(t, l, source, "north", events.Configured, events.ConfiguredData{EntryDevice: "gate", Limit: 1, ValidityS: 60}))
	}
	if err := v.Apply(all[1]); !errors.Is(err, views.ErrGap) {
		t.Errorf("gap: %v", err)
	}
	for _, e := range []events.Stored{all[0], all[0], all[1], all[0], all[2], all[2]} {
		if err := v.Apply(e); err != nil {
			t.Error(err)
		}
	}
	forged := all[2]
	forged.Revision, forged.Prev = 4, events.Genesis
	if err := v.Apply(forged); !errors.Is(err, events.ErrChain) {
		t.Errorf("broken chain: %v", err)
	}
	mustBeTheEvents(t, l, v)
}

func TestAnUnknownEventStopsAndIsNotBelievedLater(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	live(t, l, v, "north", 2)
	live(t, l, v, "south", 2)
	add(t, l, v, "north", "blessed", struct{}{})
	write(t, v)
	again := open(t, l)
	if o := again.Opened(); o.Views != 1 || o.Rebuilt != 1 {
		t.Errorf("a newer program might understand it: opened %+v", o)
	}
	if again.State("north").Stopped == "" || again.State("south").Stopped != "" {
		t.Errorf("stopped: north %q, south %q", again.State("north").Stopped, again.State("south").Stopped)
	}
	mustBeTheEvents(t, l, again)
	again.Halt("south", "found wrong")
	if again.State("south").Stopped != "found wrong" {
		t.Error("a halted state may be decided on")
	}
}

// In another process on another server, from an exported ledger.
func TestExportedLedgerGivesTheSameBytes(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	live(t, l, v, "north", 10)
	live(t, l, v, "south", 10)
	live(t, l, v, "north", 10)
	write(t, v)
	last, err := l.LastSequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := fresh(t)
	err = l.ReadRaw(t.Context(), ledger.Range{Upto: last}, func(m ledger.Raw) error {
		_, err := other.JetStream().Publish(t.Context(), m.Subject, m.Data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	imported := open(t, other)
	write(t, imported)
	if a, b := kept(t, l, "north", "south"), kept(t, other, "north", "south"); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestBrokenChainIsNotOpened(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	live(t, l, v, "north", 2)
	raw, err := l.At(t.Context(), 2)
	if err == nil {
		_, err = l.JetStream().Publish(t.Context(), events.Subject("north", raw.Type), raw.Raw) // doubled
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := views.Rebuild(t.Context(), l, ledger.Range{Upto: 5}); !errors.Is(err, events.ErrChain) {
		t.Errorf("rebuilt a ledger that is not whole: %v", err)
	}
	if _, err := views.Open(t.Context(), config(l, 1)); !errors.Is(err, events.ErrChain) {
		t.Errorf("opened a ledger that is not whole: %v", err)
	}
}

func TestCodesAreFoundAfterTheyLeftTheState(t *testing.T) {
	l := fresh(t)
	v := open(t, l)
	live(t, l, v, "north", 3)
	id := v.State("north").Codes[0].ID
	c, ok, err := views.CodeEver(t.Context(), l, "north", id, 99)
	if !ok || err != nil || c.ID != id {
		t.Errorf("found %+v (%v)", c, err)
	}
	if _, ok, err := views.CodeEver(t.Context(), l, "north", ulid.Make().String(), 99); ok || err != nil {
		t.Errorf("found a code that never was (%v)", err)
	}
}
