package verify

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/node"
	"gatebook/projections"
	"gatebook/projections/views"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

func (w *world) verify(o Options) commands.VerifyAnswer {
	w.t.Helper()
	a, err := Ledger(within(w.t), w.log, o)
	ok(w.t, err)
	return a
}

func (w *world) wantWell(o Options) commands.VerifyAnswer {
	w.t.Helper()
	a := w.verify(o)
	if !a.OK || a.FirstBadSequence != nil || a.Law != nil {
		w.t.Fatalf("the ledger is said not to be well: %s", said(a))
	}
	return a
}

// A ledger is well while it is written, with views that are older than its end.
func TestServedLedgerIsWell(t *testing.T) {
	w := newWorld(t, t.TempDir())
	if a := w.wantWell(Options{Views: true}); a.Events != 0 {
		t.Fatal(said(a))
	}
	w.live(60).keep().live(60)
	head, err := w.head.Read()
	ok(t, err)
	var done, of uint64
	o := Options{Head: head, Views: true, Progress: func(d, o uint64) { done, of = d, o }}
	if a := w.wantWell(o); a.Events != 120 || done != 120 || of != 120 {
		t.Fatalf("%d of %d: %s", done, of, said(a))
	}
	verified := make(chan error, 1)
	go func() {
		a, err := Ledger(within(t), w.log, o)
		if err == nil && !a.OK {
			err = errors.New(said(a))
		}
		verified <- err
	}()
	w.live(300).keep()
	ok(t, <-verified)
	w.stop()
	wantWell(t, w.dir)
}

func TestHeadThatDoesNotHold(t *testing.T) {
	w := newWorld(t, t.TempDir()).live(50).keep()
	head, err := w.head.Read()
	ok(t, err)
	w.wantWell(Options{Head: head})
	other := head
	other.Hash = events.Genesis
	wantFinding(t, w.verify(Options{Head: other}), head.Sequence)
	beyond := head
	beyond.Sequence += 10
	wantFinding(t, w.verify(Options{Head: beyond}), head.Sequence+1)
}

func TestLoosenedStream(t *testing.T) {
	w := newWorld(t, t.TempDir()).live(50).keep()
	s, err := w.log.JetStream().Stream(within(t), events.Ledger)
	ok(t, err)
	c := s.CachedInfo().Config
	c.MaxMsgs = 1_000_000
	_, err = w.log.JetStream().UpdateStream(within(t), c)
	ok(t, err)
	a := w.verify(Options{Views: true})
	wantFinding(t, a)
	w.stop()
	b := verify(t, w.dir)
	wantFinding(t, b)
	if *a.Law != 6 || !strings.Contains(a.Message, "max_msgs") || !strings.Contains(b.Message, "max_msgs") {
		t.Errorf("served: %s\nstopped: %s", said(a), said(b))
	}
}

// newCode gives the north gate a code and what is known of it.
func (w *world) newCode() projections.Code {
	w.t.Helper()
	if !w.step("north", w.issue) {
		w.t.Fatal("no code was issued")
	}
	live := w.views.State("north").Live(w.now)
	return live[len(live)-1]
}

// force stores an event that no service would decide.
func (w *world) force(t events.Type, by, via string, data any) uint64 {
	w.t.Helper()
	e, err := events.New(w.newID(), t, by, via, w.newID(), data)
	ok(w.t, err)
	s := w.views.State("north")
	w.append(e.Chained("north", s.Link, w.now), s.Sequence)
	return w.views.State("north").Sequence
}

func TestBrokenLaws(t *testing.T) {
	const gate = "intercom:north"
	for name, c := range map[string]struct {
		law   int
		force func(w *world, c projections.Code) uint64
	}{
		"entered twice": {1, func(w *world, c projections.Code) uint64 {
			w.force(events.Entered, gate, events.ViaKeypad, events.UsedData{CodeID: c.ID, Device: c.EntryDevice})
			return w.force(events.Entered, gate, events.ViaKeypad, events.UsedData{CodeID: c.ID, Device: c.EntryDevice})
		}},
		"entered after revoked": {2, func(w *world, c projections.Code) uint64 {
			w.force(events.Revoked, "operator", events.ViaCLI, events.EndedData{CodeID: c.ID})
			return w.force(events.Entered, gate, events.ViaKeypad, events.UsedData{CodeID: c.ID, Device: c.EntryDevice})
		}},
		"over the limit": {5, func(w *world, c projections.Code) uint64 {
			for {
				s := w.views.State("north")
				full := s.Count(w.now) >= s.Settings.Limit
				at := w.force(events.Issued, "operator", events.ViaCLI, events.IssuedData{
					CodeID: w.newID(), Sealed: []byte("sealed"), ExpiresAt: w.now.Add(time.Hour),
					EntryDevice: c.EntryDevice, ExitDevice: c.ExitDevice, LeaveOnce: c.LeaveOnce,
				})
				if full {
					return at
				}
			}
		}},
		"by nobody": {7, func(w *world, c projections.Code) uint64 {
			return w.force(events.Revoked, "", events.ViaCLI, events.EndedData{CodeID: c.ID})
		}},
		"expired too early": {11, func(w *world, c projections.Code) uint64 {
			return w.force(events.Expired, events.ByClock, events.ViaTimer, events.EndedData{CodeID: c.ID})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			w.begin("north")
			code := w.newCode()
			w.wantWell(Options{})
			at := c.force(w, code)
			w.begin("south")
			a := w.verify(Options{})
			wantFinding(t, a, at)
			if *a.Law != c.law {
				t.Errorf("want law %d: %s", c.law, said(a))
			}
			w.keep().stop()
			if b := verify(t, w.dir); b.Message != a.Message || *b.FirstBadSequence != at {
				t.Errorf("stopped: %s", said(b))
			}
		})
	}
}

// What a later version stores is said, and is nothing wrong.
func TestEventsOfALaterVersion(t *testing.T) {
	w := newWorld(t, t.TempDir()).live(20)
	at := w.force(events.Locked, "operator", events.ViaCLI, map[string]any{"anything": 1})
	w.force(events.Type("melted"), "operator", events.ViaCLI, map[string]any{})
	w.live(20).keep()
	a := w.wantWell(Options{Views: true})
	if want := whole(a.Events) + "; " + "1 intercom has events that this version does not understand, the first at sequence "; a.Message != want+strconv.FormatUint(at, 10) {
		t.Error(said(a))
	}
	w.stop()
	if b := wantWell(t, w.dir); b.Message != a.Message {
		t.Error(said(b))
	}
}

// What is published past the ledger is found: no event, another's subject, and
// an event once more.
func TestForeignMessages(t *testing.T) {
	for name, forge := range map[string]func(w *world) (subject string, data []byte){
		"no event": func(*world) (string, []byte) { return events.Subject("north", events.Revoked), []byte("{}") },
		"another's subject": func(w *world) (string, []byte) {
			s := w.views.State("north")
			e, err := events.New(w.newID(), events.Configured, "operator", events.ViaCLI, w.newID(), s.Settings)
			ok(w.t, err)
			raw, err := e.Chained("north", s.Link, w.now).Encode()
			ok(w.t, err)
			return events.Subject("south", events.Configured), raw
		},
		"again": func(w *world) (string, []byte) {
			e, err := w.log.At(within(w.t), 1)
			ok(w.t, err)
			return events.Subject(e.Intercom, e.Type), e.Raw
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir()).live(20)
			subject, data := forge(w)
			_, err := w.log.JetStream().Publish(within(t), subject, data)
			ok(t, err)
			a := w.verify(Options{})
			wantFinding(t, a, 21)
			w.stop()
			wantFinding(t, verify(t, w.dir), 21)
		})
	}
}

func (w *world) putView(key string, raw []byte) {
	w.t.Helper()
	kv, err := w.log.JetStream().KeyValue(within(w.t), views.Bucket)
	ok(w.t, err)
	_, err = kv.Put(within(w.t), key, raw)
	ok(w.t, err)
}

func TestKeptViews(t *testing.T) {
	encode := func(s projections.State) []byte {
		raw, err := views.Encode(s)
		ok(t, err)
		return raw
	}
	for name, c := range map[string]struct {
		change   func(s *projections.State)
		sequence func(s projections.State) uint64
		beside   bool
	}{
		"says another thing": {
			change:   func(s *projections.State) { s.Owner = "person:somebody-else" },
			sequence: func(s projections.State) uint64 { return s.Sequence }, beside: true,
		},
		"made from another event": {
			change:   func(s *projections.State) { s.Hash = events.Genesis },
			sequence: func(s projections.State) uint64 { return s.Sequence },
		},
		"newer than the ledger": {
			change:   func(s *projections.State) { s.Sequence += 1000 },
			sequence: func(projections.State) uint64 { return 61 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir()).live(60).keep()
			was := w.views.State("east")
			s := was
			c.change(&s)
			w.putView("intercom.east", encode(s))
			a := w.verify(Options{Views: true})
			wantFinding(t, a, c.sequence(was))
			if c.beside != (a.Next == nextView) {
				t.Error(said(a))
			}
			w.wantWell(Options{})
		})
	}
}

func TestMissingViews(t *testing.T) {
	w := newWorld(t, t.TempDir()).live(60).keep()
	kv, err := w.log.JetStream().KeyValue(within(t), views.Bucket)
	ok(t, err)
	ok(t, kv.Delete(within(t), "intercom.east"))
	if a := w.verify(Options{Views: true}); a.OK || a.Next != nextView {
		t.Error(said(a))
	}
	ok(t, w.log.JetStream().DeleteKeyValue(within(t), views.Bucket))
	w.wantWell(Options{Views: true})
}

// plainServer runs a server on the streams of a stopped data folder. It is reached
// by address, so that another one can take its place under an open ledger.
func plainServer(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
	})
	ok(t, err)
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	return srv
}

// The server leaves out what it cannot read, in the middle without a trace and at
// the end by never answering. Reading finds both.
func TestRotUnderAServer(t *testing.T) {
	whole := ledgerFolder(t)
	writeStore(t, whole, readStore(t, whole), 70)
	rnd := rand.New(rand.NewPCG(5, 5))
	for name, rotten := range map[string][]uint64{
		"in the middle": {100}, "first": {1}, "last": {eventsHeld}, "the end of a block": {140, 141}, "last ones": {eventsHeld - 1, eventsHeld},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ok(t, copyStores(within(t), dir, []*store{storeOf(t, whole, events.Ledger)}))
			srv := plainServer(t, dir, server.RANDOM_PORT)
			nc, err := nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
			ok(t, err)
			defer nc.Close()
			l, err := ledger.Open(within(t), nc, ledger.Config{Replicas: 1})
			ok(t, err)
			defer l.Close()
			a, err := Ledger(within(t), l, Options{})
			ok(t, err)
			if !a.OK {
				t.Fatal(said(a))
			}
			port := srv.Addr().(*net.TCPAddr).Port
			srv.Shutdown()
			srv.WaitForShutdown()
			s := storeOf(t, dir, events.Ledger)
			for _, sequence := range slices.Backward(rotten) { // places end at what is rotten
				n := uint32((sequence-1)/70) + 1
				p := places(t, s, n)[(sequence-1)%70]
				flip(t, s.blockPath(n), p.end-recordSum-1-rnd.IntN(200), rnd.IntN(8))
			}
			plainServer(t, dir, port)
			within := within(t)
			for nc.FlushTimeout(time.Second) != nil && within.Err() == nil {
			}
			a, err = Ledger(within, l, Options{})
			ok(t, err)
			t.Log(said(a))
			wantFinding(t, a, rotten[0])
		})
	}
}

func TestFolderThatCannotBeVerified(t *testing.T) {
	if _, err := Folder(within(t), t.TempDir(), quiet(), nil); !errors.Is(err, ErrNoLedger) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Folder(within(t), filepath.Join(t.TempDir(), "nothing"), quiet(), nil); !errors.Is(err, ErrNoLedger) {
		t.Errorf("no folder: %v", err)
	}
	w := newWorld(t, t.TempDir()).live(20).keep()
	if _, err := Folder(within(t), w.dir, quiet(), nil); !errors.Is(err, node.ErrInUse) {
		t.Errorf("a served folder: %v", err)
	}
	w.stop()
	wantWell(t, w.dir)
	ok(t, os.Remove(filepath.Join(w.dir, "master.key")))
	if _, err := Folder(within(t), w.dir, quiet(), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder without its key: %v", err)
	}
}
