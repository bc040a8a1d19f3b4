package robust_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/robust"
	"gatebook/ops/testkit"
	"gatebook/projections/views"
)

const (
	shortOps, fullOps = 3000, 20000
	shortDowns        = 6
	fullDowns         = 15
	leastChanges      = 5
	orderWithin       = time.Minute
)

// racingTime ends with the test, or after GATEBOOK_RACE_FOR of racing: a ledger
// with a broken mechanism is given that long.
func racingTime(t testing.TB) (context.Context, context.CancelFunc) {
	text := os.Getenv("GATEBOOK_RACE_FOR")
	if text == "" {
		return context.WithCancel(t.Context())
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("GATEBOOK_RACE_FOR: %v", err)
	}
	return context.WithTimeout(t.Context(), d)
}

// TestRacingServer: 64 callers on one server with the shared barrier.
func TestRacingServer(t *testing.T) {
	s := testkit.Seed(t)
	l := testkit.StartLedger(t, t.TempDir(), said(t))
	x := newLoad(t, s, testkit.Sized(shortOps, fullOps), l, l.Node.URL())
	ctx, cancel := racingTime(t)
	defer cancel()
	x.run(ctx)
	judge(t, x, l)
}

// TestRacingCluster: the same on three servers that lose their leader again and
// again, with two ledgers that share the stream.
func TestRacingCluster(t *testing.T) {
	s := testkit.Seed(t)
	c := testkit.StartCluster(t)
	a, b := c.StartLedger(0, said(t)), c.StartLedger(1, said(t))
	x := newLoad(t, s, testkit.Sized(shortOps, fullOps), a, c.ServerURL(0), c.ServerURL(1), c.ServerURL(2))
	ctx, cancel := racingTime(t)
	defer cancel()
	raced := make(chan struct{})
	go func() {
		defer close(raced)
		x.run(ctx)
	}()
	changes := stepDowns(t, c, a.Log, x, raced, testkit.Sized(shortDowns, fullDowns))
	<-raced
	t.Logf("%d leader changes", changes)
	if changes < leastChanges && ctx.Err() == nil {
		t.Errorf("only %d leader changes, want at least %d", changes, leastChanges)
	}
	judge(t, x, a, b)
}

// stepDowns takes the lead of LEDGER away n times, spread over the operations,
// and now and then that of KEYS. It returns how often LEDGER's leader changed.
func stepDowns(t *testing.T, c *testkit.Cluster, l *ledger.Log, x *load, raced <-chan struct{}, n int) int {
	changes := 0
	for i := range n {
		select {
		case <-x.reached(x.total * int64(i+1) / int64(n+1)):
		case <-raced:
			return changes
		}
		before := leader(t, l)
		c.StepDown(events.Ledger)
		if leader(t, l) != before {
			changes++
		}
		if i%3 == 2 {
			c.StepDown("KEYS")
		}
	}
	return changes
}

func leader(t *testing.T, l *ledger.Log) (name string) {
	testkit.Eventually(t, 20*time.Second, func() error {
		s, err := l.JetStream().Stream(t.Context(), events.Ledger)
		if err != nil {
			return err
		}
		name = s.CachedInfo().Cluster.Leader
		return nil
	})
	return name
}

// judge stops the ledgers and holds the history against what they stored.
func judge(t *testing.T, x *load, ledgers ...*testkit.Ledger) {
	t.Helper()
	for _, l := range ledgers {
		l.Stop()
	}
	ops := x.h.Ops()
	stored, wrong := read(t, ledgers[0].Log)
	report(t, x, ops, stored)
	for _, l := range ledgers {
		wrong = append(wrong, viewsFit(stored, l)...)
	}
	wrong = append(wrong, robust.Folds(stored, ops)...)
	wrong = append(wrong, robust.InTime(stored, ops)...)
	within := orderWithin
	if len(wrong) > 0 {
		within = 5 * time.Second // what is wrong already need not be searched for
	}
	wrong = append(wrong, robust.Linearizable(stored, ops, within)...)
	for i, err := range wrong {
		if i == 30 {
			t.Errorf("and %d more", len(wrong)-i)
			break
		}
		t.Error(err)
	}
}

func read(t *testing.T, l *ledger.Log) (robust.Ledger, []error) {
	t.Helper()
	stored := robust.Ledger{}
	var wrong []error
	last, err := l.LastSequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = l.Read(t.Context(), ledger.Range{From: 1, Upto: last}, func(e events.Stored) error {
		if err := stored.Take(e); err != nil {
			wrong = append(wrong, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return stored, wrong
}

// viewsFit: what a ledger decided on, as far as it had come, is what the events
// make.
func viewsFit(stored robust.Ledger, l *testkit.Ledger) []error {
	var wrong []error
	v := l.Service.Views()
	for _, id := range v.Intercoms() {
		has := v.State(id)
		want, ok := stored.State(id, has.Revision)
		a, err1 := views.Encode(has)
		b, err2 := views.Encode(want)
		if !ok || err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			wrong = append(wrong, fmt.Errorf("%s: a ledger's view at revision %d is not the fold of the events", id, has.Revision))
		}
	}
	return wrong
}

// report prints what was tried, and fails a run that tried too little.
func report(t *testing.T, x *load, ops []*robust.Op, stored robust.Ledger) {
	t.Helper()
	said := map[string]int{}
	var open, found, repeats, count int
	for _, op := range ops {
		switch {
		case op.Answer == nil:
			open++
			if _, ok := stored.Stored(op.Intercom, op.Command); ok {
				found++
			}
		case op.Refused():
			said[string(op.Verb)+" "+string(op.Answer.Refusal.Code)]++
		case op.Answer.Used != nil:
			said[strings.TrimSpace("use "+op.Answer.Used.Decision+" "+string(op.Answer.Used.Reason))]++
		default:
			said[string(op.Verb)]++
		}
		if op.Repeat {
			repeats++
		}
	}
	for _, timeline := range stored {
		count += len(timeline.Events)
	}
	t.Logf("%d operations on %d intercoms, %d events; %d repeats; %d open (%d answers dropped, %d never came), %d of them found in the ledger",
		len(ops), len(stored), count, repeats, open, x.dropped.Load(), x.silent.Load(), found)
	var words []string
	for word, n := range said {
		words = append(words, fmt.Sprintf("%s %d", word, n))
	}
	slices.Sort(words)
	t.Logf("answers: %s", strings.Join(words, ", "))
	if os.Getenv("GATEBOOK_RACE_FOR") != "" {
		return
	}
	if n := x.dropped.Load(); n*100 < int64(len(ops)) {
		t.Errorf("only %d of %d answers dropped", n, len(ops))
	}
	for _, want := range []string{
		string(commands.IssueVerb), "issue limit_reached", string(commands.Revoke), "revoke already_revoked",
		"use open", "use reject revoked", "use reject wrong_direction", "use reject unknown", string(commands.Fail), string(commands.List),
	} {
		if said[want] == 0 {
			t.Errorf("no answer was %q", want)
		}
	}
}

// said keeps what a ledger says and prints the end of it if the test fails.
func said(t *testing.T) func(*testkit.LedgerConfig) {
	w := &tail{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the ledger said last:\n%s", w)
		}
	})
	return func(c *testkit.LedgerConfig) {
		c.Log = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
}

// tail keeps the last lines that are written to it.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, string(p))
	if len(w.lines) > 30 {
		w.lines = w.lines[1:]
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lines, "")
}
