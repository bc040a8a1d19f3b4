package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/ops/node"
	"gatebook/projections"
	"gatebook/projections/views"

	"github.com/nats-io/nkeys"
	"github.com/oklog/ulid/v2"
)

// seeds is how many seeds a test runs through; GATEBOOK_SEEDS asks for more.
func seeds(t *testing.T, most int) []uint64 {
	t.Helper()
	n := 10
	if s := os.Getenv("GATEBOOK_SEEDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	list := make([]uint64, min(n, most))
	for i := range list {
		list[i] = uint64(i + 1)
	}
	return list
}

func forSeeds(t *testing.T, f func(t *testing.T, rnd *rand.Rand)) {
	t.Helper()
	for _, seed := range seeds(t, 1000) {
		t.Run("seed="+strconv.FormatUint(seed, 10), func(t *testing.T) {
			f(t, rand.New(rand.NewPCG(seed, 7)))
		})
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var intercoms = []string{"north", "south", "east", "west", "garage"}

// world writes a ledger as a service would: what is decided is stored.
type world struct {
	t     testing.TB
	dir   string
	rnd   *rand.Rand
	now   time.Time
	log   *ledger.Log
	views *views.Views
	keys  *seal.Keys
	head  *ledger.Head
	stop  func()
}

func newWorld(t testing.TB, dir string) *world {
	t.Helper()
	folder, err := node.OpenFolder(dir)
	ok(t, err)
	n, err := node.Start(node.Config{Folder: folder, Listen: "127.0.0.1:0", Log: quiet()})
	ok(t, err)
	t.Cleanup(func() { n.Close() }) // for a test that ends before it stops the world
	nc, err := n.Ledger()
	ok(t, err)
	ctx := within(t)
	l, err := ledger.Open(ctx, nc, ledger.Config{Replicas: 1})
	ok(t, err)
	master, err := seal.LoadMaster(filepath.Join(dir, "master.key"), true)
	ok(t, err)
	keys, err := seal.OpenKeys(ctx, l.JetStream(), master, 1)
	ok(t, err)
	v, err := views.Open(ctx, views.Config{Ledger: l, Replicas: 1, Log: quiet()})
	ok(t, err)
	last, err := l.LastSequence(ctx)
	ok(t, err)
	key := master.HeadKey()
	return &world{
		t: t, dir: dir, rnd: rand.New(rand.NewPCG(1, last)), now: time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC).Add(time.Duration(last) * time.Hour),
		log: l, views: v, keys: keys, head: ledger.NewHead(filepath.Join(dir, "head"), key[:]),
		stop: func() { l.Close(); ok(t, n.Close()) },
	}
}

// newID makes ids that do not depend on the clock, so that every run is the same.
func (w *world) newID() string {
	var u ulid.ULID
	binary.BigEndian.PutUint64(u[8:], w.rnd.Uint64())
	ok(w.t, u.SetTime(ulid.Timestamp(w.now)))
	return u.String()
}

// live makes n events happen.
func (w *world) live(n int) *world {
	w.t.Helper()
	for _, intercom := range intercoms {
		n -= w.begin(intercom)
	}
	for n > 0 {
		w.now = w.now.Add(time.Duration(w.rnd.IntN(300)) * time.Second)
		if w.step(intercoms[w.rnd.IntN(len(intercoms))], w.anything) {
			n--
		}
	}
	return w
}

// begin makes an intercom ready for codes, where it is not, and tells in how many
// events.
func (w *world) begin(intercom string) (n int) {
	w.t.Helper()
	if w.views.State(intercom).Settings == nil && w.step(intercom, w.configure) {
		n++
	}
	if w.views.State(intercom).Enrolled == "" && w.step(intercom, w.enroll) {
		n++
	}
	return n
}

// keep writes what is kept beside the events.
func (w *world) keep() *world {
	w.t.Helper()
	ok(w.t, w.views.Write(within(w.t)))
	mark, _ := w.log.Durable().Mark()
	ok(w.t, w.head.Write(mark))
	return w
}

type decision func(projections.State, commands.Meta) (events.Event, error)

// step stores what is decided, unless it is refused.
func (w *world) step(intercom string, decide decision) bool {
	w.t.Helper()
	s := w.views.State(intercom)
	m := commands.Meta{Intercom: intercom, Actor: events.Operator, Via: events.ViaCLI, Command: w.newID(), EventID: w.newID()}
	e, err := decide(s, m)
	if refusal := (*commands.Refusal)(nil); errors.As(err, &refusal) || (err == nil && e.ID == "") {
		return false
	}
	ok(w.t, err)
	w.append(e.Chained(intercom, s.Link, w.now), s.Sequence)
	return true
}

func (w *world) append(e events.Event, fence uint64) {
	w.t.Helper()
	p, err := ledger.Prepare(e, fence)
	ok(w.t, err)
	stored, err := w.log.Append(within(w.t), p)
	ok(w.t, err)
	ok(w.t, w.views.Apply(stored))
}

func (w *world) configure(s projections.State, m commands.Meta) (events.Event, error) {
	limit := 3 + w.rnd.IntN(4)
	return commands.DecideConfigure(s, m, commands.ConfigureRequest{Limit: &limit})
}

func (w *world) enroll(s projections.State, m commands.Meta) (events.Event, error) {
	pair, err := nkeys.CreateUser()
	ok(w.t, err)
	key, err := pair.PublicKey()
	ok(w.t, err)
	return commands.DecideEnroll(s, m, key)
}

func (w *world) anything(s projections.State, m commands.Meta) (events.Event, error) {
	c := projections.Code{}
	if len(s.Codes) > 0 {
		c = s.Codes[w.rnd.IntN(len(s.Codes))]
	}
	switch w.rnd.IntN(8) {
	case 0:
		return commands.DecideRevoke(s, m, c.ID, w.now)
	case 1, 2, 3:
		m.Actor, m.Via = events.Actor{Kind: events.IntercomActor, ID: m.Intercom}, events.ViaKeypad
		e, _, err := commands.DecideUse(s, m, c.ID, "", w.now)
		return e, err
	case 4:
		m.Clock, m.Via = true, events.ViaTimer
		return commands.DecideExpire(s, m, c.ID, w.now)
	default:
		return w.issue(s, m)
	}
}

func (w *world) issue(s projections.State, m commands.Meta) (events.Event, error) {
	id := w.newID()
	key, err := seal.NewKey(chacha(w.rnd))
	ok(w.t, err)
	box, err := seal.Seal(key, chacha(w.rnd), m.Intercom, id, seal.Guest{Digits: "4071", Name: "A Guest", Mobile: "+4420794609"})
	ok(w.t, err)
	e, err := commands.DecideIssue(s, m, commands.IssueRequest{}, commands.NewCode{ID: id, Sealed: box}, w.now)
	if err == nil {
		err = w.keys.Put(within(w.t), id, key)
	}
	return e, err
}

func chacha(rnd *rand.Rand) io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], rnd.Uint64())
	return rand.NewChaCha8(seed)
}

const eventsHeld = 300

// ledgerFolder is the folder of a stopped ledger of some hundred events.
func ledgerFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	newWorld(t, dir).live(eventsHeld).keep().stop()
	return dir
}

// copied is a folder of its own for one try.
func copied(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	ok(t, os.CopyFS(to, os.DirFS(dir)))
	ok(t, os.Chmod(filepath.Join(to, "master.key"), 0o600))
	return to
}

func verify(t testing.TB, dir string) commands.VerifyAnswer {
	t.Helper()
	a, err := Folder(within(t), dir, quiet(), nil)
	ok(t, err)
	return a
}

func wantWell(t testing.TB, dir string) commands.VerifyAnswer {
	t.Helper()
	a := verify(t, dir)
	if !a.OK || a.FirstBadSequence != nil || a.Law != nil || a.Next != "" {
		t.Fatalf("the ledger is said not to be well: %s", said(a))
	}
	return a
}

// wantFinding wants something found, and with a sequence when one is given.
func wantFinding(t testing.TB, a commands.VerifyAnswer, sequences ...uint64) {
	t.Helper()
	if a.OK || a.Law == nil || a.Message == "" || a.Next == "" {
		t.Fatalf("not noticed, or without a law: %s", said(a))
	}
	if len(sequences) > 0 && (a.FirstBadSequence == nil || !slices.Contains(sequences, *a.FirstBadSequence)) {
		t.Fatalf("want it named by sequence %d: %s", sequences, said(a))
	}
}

func said(a commands.VerifyAnswer) string {
	sequence, law := "none", "none"
	if a.FirstBadSequence != nil {
		sequence = strconv.FormatUint(*a.FirstBadSequence, 10)
	}
	if a.Law != nil {
		law = strconv.Itoa(*a.Law)
	}
	return "sequence " + sequence + ", law " + law + ": " + a.Message + " [" + a.Next + "]"
}

// storeOf is a stream's folder in a data folder.
func storeOf(t testing.TB, dir, stream string) *store {
	t.Helper()
	stores, err := findStores(dir)
	ok(t, err)
	i := slices.IndexFunc(stores, func(s *store) bool { return s.name == stream })
	if i < 0 {
		t.Fatalf("there is no stream %s", stream)
	}
	return stores[i]
}
