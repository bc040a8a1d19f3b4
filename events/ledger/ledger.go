package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatebook/events"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrRot is what a stream that is not whole gives: events were lost, cut off or
// replaced (law 6).
var ErrRot = errors.New("the ledger is not whole")

// Config says how the ledger's stream is kept.
type Config struct {
	// Replicas is 1 on an embedded server, 3 on a cluster.
	Replicas int
	// Sync makes all that the server has acknowledged durable before it returns.
	// Nil where the server's acknowledgement already means that.
	Sync func() error
	// OnSync, when set, is told after each sync how many waited for it and how
	// long it took.
	OnSync func(waiters int, took time.Duration)
	// OnFail, when set, is told once of a sync that failed: nothing may be told
	// any more, whether or not anybody waits to be.
	OnFail func(error)
	// Timeout is how long one request to the server may take. Default 2 s.
	Timeout time.Duration
}

// Log is the LEDGER stream.
type Log struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	durable *Durable
	timeout time.Duration
	config  jetstream.StreamConfig
}

// Open makes or takes the stream and checks what can be seen at once: its
// configuration, that it begins at sequence 1 and that nothing is missing. It
// then runs one sync, so that what is read from here on is durable. The caller
// compares the head (Check) before serving. nc must be allowed on the streams.
func Open(ctx context.Context, nc *nats.Conn, c Config) (*Log, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	l := &Log{nc: nc, js: js, timeout: c.Timeout, config: ledgerStream(c.Replicas)}
	info, err := EnsureStream(ctx, js, l.config)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := whole(info.State); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l.durable = newDurable(c.Sync, c.OnSync, c.OnFail)
	if err := l.learnEnd(ctx, info.State.LastSeq); err != nil {
		l.durable.close()
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

// whole: an event can only be lost, never deleted, so a stream that does not
// begin at 1 or has a hole has lost some.
func whole(s jetstream.StreamState) error {
	switch {
	case s.LastSeq == 0: // of an empty stream the server says that number 0 is deleted
		return nil
	case s.FirstSeq != 1:
		return fmt.Errorf("%w: it begins at sequence %d, so everything before is lost", ErrRot, s.FirstSeq)
	case s.NumDeleted > 0 && len(s.Deleted) > 0:
		return fmt.Errorf("%w: %d events are missing, the first at sequence %d", ErrRot, s.NumDeleted, s.Deleted[0])
	case s.Msgs != s.LastSeq:
		return fmt.Errorf("%w: it counts %d events, and the last one is number %d", ErrRot, s.Msgs, s.LastSeq)
	}
	return nil
}

func (l *Log) learnEnd(ctx context.Context, last uint64) error {
	if last > 0 {
		e, err := Patiently(ctx, func(ctx context.Context) (events.Stored, error) { return l.At(ctx, last) })
		if errors.Is(err, ErrNone) {
			return fmt.Errorf("%w: the newest event, at sequence %d, cannot be read", ErrRot, last)
		}
		if err != nil {
			return err
		}
		l.durable.note(e.Mark())
	}
	return l.durable.Barrier(ctx)
}

// Durable is the durable mark and the way to wait for it.
func (l *Log) Durable() *Durable { return l.durable }

// JetStream is the connection's JetStream, for the streams beside LEDGER.
func (l *Log) JetStream() jetstream.JetStream { return l.js }

// Recheck compares the stream's configuration with the ledger's again.
func (l *Log) Recheck(ctx context.Context) error {
	s, err := l.js.Stream(ctx, events.Ledger)
	if err != nil {
		return fmt.Errorf("check stream %s: %w", events.Ledger, err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		return fmt.Errorf("check stream %s: %w", events.Ledger, err)
	}
	if err := Expect(l.config, info.Config); err != nil {
		return err
	}
	return whole(info.State)
}

// Close ends the background work. It does not close the connection.
func (l *Log) Close() { l.durable.close() }
