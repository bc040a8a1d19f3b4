package intercom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gatebook/events"
)

const (
	// A line is cut when a ping went unanswered for a whole interval, so within
	// two of them.
	pingEvery = time.Second
	dialLimit = 2 * time.Second
	// Every intercom of a ledger comes back when it does: spread them.
	redialWait   = 200 * time.Millisecond
	redialJitter = 400 * time.Millisecond
)

// line is the connection to the ledger. It comes and goes by itself; what is
// asked while it is down fails at once and is never sent later.
type line struct {
	url   string
	actor events.Actor
	opts  []nats.Option
	log   *slog.Logger
	live  nats.MsgHandler
	rise  func() // called each time the line has come up

	session atomic.Pointer[session] // nil while cut
	refused atomic.Bool             // the server does not take these credentials

	mu      sync.Mutex // owns what follows
	nc      *nats.Conn
	sub     *nats.Subscription // to live
	closing bool
	closed  chan struct{} // closed once the connection has ended for good
}

// session is one time that the line is up.
type session struct {
	nc  *nats.Conn
	ctx context.Context // ends with it
	end context.CancelFunc
}

func newLine(c Config, live nats.MsgHandler, rise func()) *line {
	l := &line{
		url: c.URL, log: c.Log, live: live, rise: rise, closed: make(chan struct{}),
		actor: events.Actor{Kind: events.IntercomActor, ID: c.Credentials.Intercom},
	}
	l.opts = append([]nats.Option{
		nats.Name("gatebook intercom " + c.Credentials.Intercom),
		nats.UserJWTAndSeed(c.Credentials.jwt, c.Credentials.seed),
		nats.CustomInboxPrefix(events.IntercomInbox(c.Credentials.Intercom, c.Credentials.PublicKey)),
		nats.Timeout(dialLimit),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(redialWait),
		nats.ReconnectJitter(redialJitter, redialJitter),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(1),
		// A use that was kept back and sent later would be recorded with nobody
		// at the gate.
		nats.ReconnectBufSize(-1),
		nats.ConnectHandler(l.up),
		nats.ReconnectHandler(l.up),
		nats.DisconnectErrHandler(l.down),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { l.failed(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.failed(err) }),
		nats.ClosedHandler(l.ended),
	}, c.Options...)
	return l
}

// dial begins to connect and goes on by itself. An error means that it never
// will: the address or an option is wrong.
func (l *line) dial() error {
	l.mu.Lock() // up waits for it: no catch-up before live is followed
	defer l.mu.Unlock()
	if l.closing {
		return nil
	}
	nc, err := nats.Connect(l.url, l.opts...)
	if err != nil {
		return fmt.Errorf("connect to the ledger: %w", err)
	}
	if err := l.follow(nc); err != nil {
		nc.Close()
		return err
	}
	l.nc = nc
	return nil
}

// follow subscribes to live, in place of a subscription before it; needs l.mu.
func (l *line) follow(nc *nats.Conn) error {
	sub, err := nc.Subscribe(events.Live(l.actor.ID), l.live)
	if err != nil {
		return fmt.Errorf("follow the ledger: %w", err)
	}
	if l.sub != nil {
		_ = l.sub.Unsubscribe() // its connection may be gone, and it with that
	}
	l.sub = sub
	return nil
}

// followAnew makes the subscription to live again. One that was made in the
// instant when the servers took up a change of the account hears nothing for as
// long as it stands.
func (l *line) followAnew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.nc == nil {
		return
	}
	if err := l.follow(l.nc); err != nil {
		l.log.Warn("the ledger could not be followed anew", "error", err)
	}
}

func (l *line) up(nc *nats.Conn) {
	if l.isClosing() {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	l.session.Store(&session{nc: nc, ctx: ctx, end: end})
	l.refused.Store(false)
	l.log.Info("connected to the ledger")
	l.rise()
}

func (l *line) down(_ *nats.Conn, err error) {
	s := l.session.Swap(nil)
	if s == nil {
		return
	}
	s.end()
	if !l.isClosing() {
		l.log.Warn("the line to the ledger is cut", "error", err)
	}
}

func (l *line) isClosing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closing
}

// failed hears what went wrong beside any request: a refused publish shows
// nowhere else.
func (l *line) failed(err error) {
	switch {
	case refuses(err):
		l.sayRefused(err)
	case l.session.Load() != nil:
		l.log.Error("error on the line to the ledger", "error", err)
	}
}

// check looks for a refusal that came while the first connection was tried
// again, which no handler is told of.
func (l *line) check() {
	l.mu.Lock()
	nc := l.nc
	l.mu.Unlock()
	if l.session.Load() == nil && nc != nil && refuses(nc.LastError()) {
		l.sayRefused(nc.LastError())
	}
}

func refuses(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthRevoked) ||
		errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAccountAuthExpired)
}

func (l *line) sayRefused(err error) {
	if !l.refused.Swap(true) {
		l.log.Error("this enrolment was ended: enrol again", "intercom", l.actor.ID, "error", err)
	}
}

// ended is called when the client has given up on a connection: because we
// closed it, or because the server said what the client takes for final. A gate
// does not stay shut for that.
func (l *line) ended(nc *nats.Conn) {
	l.down(nc, nc.LastError())
	if l.isClosing() {
		close(l.closed)
		return
	}
	l.log.Error("the connection to the ledger ended; connecting anew", "error", nc.LastError())
	time.AfterFunc(redialWait+redialJitter, func() {
		if err := l.dial(); err != nil {
			l.log.Error("cannot connect to the ledger any more; start again", "error", err)
		}
	})
}

// close ends the line once what was received has been handled, or ctx is over.
func (l *line) close(ctx context.Context) {
	l.mu.Lock()
	l.closing = true
	nc := l.nc
	l.mu.Unlock()
	if nc == nil || nc.IsClosed() {
		return
	}
	if nc.Drain() != nil {
		nc.Close()
	}
	select {
	case <-l.closed:
	case <-ctx.Done():
		nc.Close()
	}
}
