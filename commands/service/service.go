package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/projections"
	"gatebook/projections/views"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Issuer makes credentials for an enrolled key.
type Issuer interface {
	Intercom(id, publicKey string) (userJWT string, err error)
}

// Space tells of the room on the ledger's volume.
type Space interface {
	// Low reports that new codes must wait until there is room.
	Low() bool
	// Ensure makes room from the reserve for one more event, if need be.
	Ensure() error
}

// Config is what a service stands on. All of it must be set, but where a
// comment says otherwise.
type Config struct {
	// Appends is the connection that may use the streams, Answers the one that
	// requests come in on; it may publish on inboxes only.
	Appends, Answers *nats.Conn
	Ledger           *ledger.Log
	Keys             *seal.Keys
	Master           *seal.Master
	Issuer           Issuer
	// End ends the connections of former keys for good, wherever they are.
	End   func(publicKeys ...string) error
	Space Space // nil: there is always room
	// Clock is the ledger's time, or why it cannot be trusted (law 11).
	Clock func() (time.Time, error)
	Rand  io.Reader
	Log   *slog.Logger
	// Shared says that other processes write the same stream.
	Shared   bool
	Replicas int
	// Observe, when set, is told of each request answered: its command and "ok"
	// or the refusal's code.
	Observe func(verb, result string, took time.Duration)
	// Applied, when set, is told of each event once it is part of a state.
	Applied func(projections.State, events.Stored)
	// Verify reads the whole ledger. It calls progress now and then.
	Verify func(ctx context.Context, progress func(done, of uint64)) (commands.VerifyAnswer, error)
	// Fatal is called once, when nothing may be told any more.
	Fatal func(error)
}

// Service answers commands.
type Service struct {
	Config
	views    *views.Views
	expiry   *expiry
	receipts *receipts
	micro    micro.Service

	mu     sync.Mutex
	rooms  map[string]*room
	newest atomic.Int64 // the newest event's time, in ns

	slots chan struct{} // a request takes one while it is answered
	// waiters are the answers that wait for a receipt: few of all slots, so that
	// patient callers never stand in a gate's way.
	waiters chan struct{}
	work    sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
	// waits is for what a stop need not wait for: receipts that somebody waits
	// for, and long readings. It ends first at a stop.
	waits    context.Context
	endWaits context.CancelFunc
	fatal    sync.Once
}

// maxAtOnce bounds the requests that are answered at the same time.
const maxAtOnce = 4096

// maxWaiters bounds those of them that wait for a receipt. Beyond it an answer
// comes at once and says that there is no receipt yet.
const maxWaiters = 256

// New loads the states and is ready to answer once Start is called.
func New(ctx context.Context, c Config) (*Service, error) {
	s := &Service{Config: c, rooms: map[string]*room{}, slots: make(chan struct{}, maxAtOnce), waiters: make(chan struct{}, maxWaiters)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.waits, s.endWaits = context.WithCancel(s.ctx)
	s.expiry = newExpiry(s)
	var err error
	if s.receipts, err = openReceipts(ctx, c); err != nil {
		return nil, err
	}
	s.views, err = views.Open(ctx, views.Config{Ledger: c.Ledger, Replicas: c.Replicas, Log: c.Log, OnApply: s.applied, Room: s.ensureRoom})
	if err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	return s, nil
}

// Views are the states that the service decides on.
func (s *Service) Views() *views.Views { return s.views }

// Start ends the connections of former keys, begins to answer, and runs what
// goes on beside: expiry, keeping views, following other ledgers.
func (s *Service) Start() error {
	var former []string
	for _, id := range s.views.Intercoms() {
		former = append(former, s.views.State(id).Former...)
	}
	if err := s.End(former...); err != nil {
		return fmt.Errorf("start service: end former keys: %w", err)
	}
	s.spawn(s.views.Keep)
	s.spawn(s.expiry.run)
	if s.Shared {
		s.spawn(s.follow)
	}
	if err := s.receipts.listen(s); err != nil {
		return fmt.Errorf("start service: %w", err)
	}
	if err := s.listen(); err != nil {
		return fmt.Errorf("start service: %w", err)
	}
	return nil
}

func (s *Service) spawn(f func(context.Context)) {
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		f(s.ctx)
	}()
}

func (s *Service) follow(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.views.Follow(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("following the ledger was interrupted and begins again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Stop takes no more requests, answers those that it has, and writes the views.
func (s *Service) Stop(ctx context.Context) error {
	var err error
	s.endWaits()
	if s.micro != nil {
		err = s.micro.Stop()
	}
	for range cap(s.slots) { // every slot back: every request answered
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			err = errors.Join(err, fmt.Errorf("stop service: %w", ctx.Err()))
			s.cancel()
			return err
		}
	}
	if s.micro != nil { // what was answered must be on its way
		err = errors.Join(err, s.Answers.FlushTimeout(time.Second))
	}
	err = errors.Join(err, s.views.Write(ctx))
	s.cancel()
	s.receipts.stop()
	return errors.Join(err, s.await(ctx))
}

// await waits for what goes on beside. A reading that waits for servers that
// are away ends later, and holds up nobody.
func (s *Service) await(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop service: %w", ctx.Err())
	}
}

// applied runs inside the views' Apply, in revision order for each intercom.
func (s *Service) applied(st projections.State, e events.Stored) {
	for at, old := st.At.UnixNano(), s.newest.Load(); at > old && !s.newest.CompareAndSwap(old, at); {
		old = s.newest.Load()
	}
	s.expiry.learn(st, e)
	if e.Sequence > 0 {
		s.room(st.Intercom).applied(e)
		if s.Applied != nil {
			s.Applied(st, e)
		}
	}
}

// maxLag is how far the clock may lie behind the newest stored event: the
// clocks of two ledgers are never quite the same.
const maxLag = 5 * time.Second

// now is the ledger's time, or a refusal while it cannot be trusted (law 11).
func (s *Service) now() (time.Time, error) {
	now, err := s.Clock()
	if err != nil {
		return time.Time{}, commands.Refuse(commands.Unavailable, "put the server's clock right",
			"the ledger decides nothing while its clock cannot be trusted: %v", err)
	}
	if newest := time.Unix(0, s.newest.Load()).UTC(); newest.Sub(now) > maxLag {
		return time.Time{}, commands.Refuse(commands.Unavailable, "put the server's clock right",
			"the ledger decides nothing while its clock is %s behind its newest event", newest.Sub(now).Round(time.Second))
	}
	return now, nil
}

// nowAfter is the instant to decide at on a state: what is decided there is
// stamped with, and judged by the verifier at, a time that is never before that
// of the state's newest event, which a ledger with a faster clock may have
// written (law 11).
func (s *Service) nowAfter(st projections.State) (time.Time, error) {
	now, err := s.now()
	if now.Before(st.At) {
		now = st.At
	}
	return now, err
}

func (s *Service) fail(err error) { s.fatal.Do(func() { s.Fatal(err) }) }
