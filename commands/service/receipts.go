package service

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"gatebook/commands"
	"gatebook/events/ledger"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// receiptsKept is how long a receipt is kept.
const receiptsKept = 90 * 24 * time.Hour

// receipts are the intercoms' words of having applied their events up to a
// revision. They are kept in a stream of their own, which tells every ledger of
// each receipt once it is stored. They are no events: losing one loses a time
// on a screen, never a law.
type receipts struct {
	js  jetstream.JetStream
	sub *nats.Subscription

	mu    sync.Mutex
	known map[string]*applied // by intercom; loaded when first asked for
}

type applied struct {
	receipts []receipt // of each the first one that named so high a revision
	changed  chan struct{}
	loaded   bool
}

// receipt is what the stream keeps.
type receipt struct {
	Revision uint64    `json:"revision"`
	At       time.Time `json:"at"`
}

func openReceipts(ctx context.Context, c Config) (*receipts, error) {
	want := ledger.PlainStream("RECEIPTS", "receipts.*", c.Replicas)
	want.MaxAge = receiptsKept
	want.RePublish = &jetstream.RePublish{Source: "receipts.*", Destination: "received.{{wildcard(1)}}"}
	if _, err := ledger.EnsureStream(ctx, c.Ledger.JetStream(), want); err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	return &receipts{js: c.Ledger.JetStream(), known: map[string]*applied{}}, nil
}

func (r *receipts) listen(s *Service) (err error) {
	r.sub, err = s.Appends.Subscribe("received.*", func(m *nats.Msg) {
		var got receipt
		if json.Unmarshal(m.Data, &got) == nil {
			r.take(strings.TrimPrefix(m.Subject, "received."), got)
		}
	})
	if err != nil {
		return fmt.Errorf("listen for receipts: %w", err)
	}
	up := s.Appends.StatusChanged(nats.CONNECTED)
	s.spawn(func(ctx context.Context) { r.forget(ctx, up) })
	return nil
}

// forget has the stream read again after each time that the line was cut: what
// was told meanwhile was not heard, and the first receipt is the one that counts.
func (r *receipts) forget(ctx context.Context, up <-chan nats.Status) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-up:
			if !ok {
				return
			}
		}
		r.mu.Lock()
		for _, a := range r.known {
			a.receipts, a.loaded = nil, false
			close(a.changed)
			a.changed = make(chan struct{})
		}
		r.mu.Unlock()
	}
}

func (r *receipts) stop() {
	if r.sub != nil {
		_ = r.sub.Unsubscribe() // the connection is closed right after
	}
}

func (r *receipts) of(intercom string) *applied {
	a := r.known[intercom]
	if a == nil {
		a = &applied{changed: make(chan struct{})}
		r.known[intercom] = a
	}
	return a
}

func (r *receipts) take(intercom string, got receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.of(intercom); a.add(got) {
		close(a.changed)
		a.changed = make(chan struct{})
	}
}

// add keeps a receipt that says something new.
func (a *applied) add(got receipt) bool {
	if n := len(a.receipts); n > 0 && got.Revision <= a.receipts[n-1].Revision {
		return false
	}
	a.receipts = append(a.receipts, got)
	return true
}

func (r *receipts) store(ctx context.Context, intercom string, got receipt) error {
	raw, err := json.Marshal(got)
	if err == nil {
		_, err = r.js.Publish(ctx, "receipts."+intercom, raw)
	}
	if err != nil {
		return fmt.Errorf("store receipt of %s: %w", intercom, err)
	}
	return nil
}

// at is when the intercom first said that it had applied a revision, nil if it
// has not, and a channel that is closed at its next receipt.
func (r *receipts) at(ctx context.Context, intercom string, revision uint64) (*time.Time, <-chan struct{}, error) {
	r.mu.Lock()
	loaded := r.of(intercom).loaded
	r.mu.Unlock()
	if !loaded {
		if err := r.load(ctx, intercom); err != nil {
			return nil, nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(intercom)
	i := sort.Search(len(a.receipts), func(i int) bool { return a.receipts[i].Revision >= revision })
	if i == len(a.receipts) {
		return nil, a.changed, nil
	}
	at := a.receipts[i].At
	return &at, a.changed, nil
}

// load reads what was stored before this process listened. What comes in both
// ways is kept once: the first one counts.
func (r *receipts) load(ctx context.Context, intercom string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	old, err := r.stored(ctx, intercom)
	if err != nil {
		return fmt.Errorf("load receipts of %s: %w", intercom, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.of(intercom)
	if a.loaded {
		return nil
	}
	since := a.receipts
	a.receipts, a.loaded = nil, true
	for _, got := range append(old, since...) {
		a.add(got)
	}
	return nil
}

func (r *receipts) stored(ctx context.Context, intercom string) ([]receipt, error) {
	c, err := r.js.OrderedConsumer(ctx, "RECEIPTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"receipts." + intercom}, InactiveThreshold: 30 * time.Second, MaxResetAttempts: 1,
	})
	if err != nil {
		return nil, err
	}
	pending := c.CachedInfo().NumPending
	if pending == 0 {
		return nil, nil
	}
	messages, err := c.Messages(jetstream.PullExpiry(2 * time.Second)) // notices a lost consumer as fast
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	var old []receipt
	for pending > 0 {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		var got receipt
		if json.Unmarshal(m.Data(), &got) == nil {
			old = append(old, got)
		}
		pending = meta.NumPending
	}
	return old, nil
}

// appliedAt waits until the intercom has said that it applied a revision, or
// ctx ends: then nil.
func (s *Service) appliedAt(ctx context.Context, intercom string, revision uint64) *time.Time {
	for {
		at, changed, err := s.receipts.at(s.ctx, intercom, revision) // not ctx: it only bounds the waiting
		if err != nil {
			s.Log.Warn("receipts cannot be read", "intercom", intercom, "error", err)
			return nil
		}
		if at != nil {
			// A receipt's time is told only once it would survive a power cut.
			if err := s.Ledger.Durable().Barrier(s.ctx); err != nil {
				_ = s.undurable(err, commands.Meta{}) // ends the service, if need be
				return nil
			}
			return at
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
