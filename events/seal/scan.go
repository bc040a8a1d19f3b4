package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatebook/events/ledger"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	scanBatch = 10_000
	// scanIdle is how long a scan waits for a message before it asks the leader
	// whether there is one.
	scanIdle = 500 * time.Millisecond
)

// stored is one message of the stream.
type stored struct {
	codeID  string
	wrapped []byte
	at      time.Time
}

// All gives every stored key by code id. Keys that do not open are left out and
// counted in an error that wraps ErrSealed; the map is good then too. On a cluster
// it may still have a key that was destroyed moments ago, where Get has not.
func (s *Keys) All(ctx context.Context) (map[string]Key, error) {
	all := make(map[string]Key)
	var bad int
	var first error
	err := s.scan(ctx, func(m stored) {
		k, err := s.master.Unwrap(m.codeID, m.wrapped)
		if err == nil {
			all[m.codeID] = k
			return
		}
		if bad++; first == nil {
			first = err
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read all keys: %w", err)
	}
	if bad > 0 {
		return all, fmt.Errorf("read all keys: %w [%d in all]", first, bad)
	}
	return all, nil
}

// Sweep destroys the keys that were stored before olderThan and that keep does
// not want, and tells how many. Such a key is what a crash between a key and its
// event leaves behind. keep must know every event of the ledger, and olderThan
// must lie so far back that no event of an older key can still be on its way.
func (s *Keys) Sweep(ctx context.Context, keep func(codeID string) bool, olderThan time.Time) (n int, err error) {
	var old []string
	err = s.scan(ctx, func(m stored) {
		if m.at.Before(olderThan) {
			old = append(old, m.codeID)
		}
	})
	if err != nil {
		return 0, fmt.Errorf("sweep keys: %w", err)
	}
	for _, codeID := range old {
		if keep(codeID) {
			continue
		}
		if err := s.Destroy(ctx, codeID); err != nil {
			return n, fmt.Errorf("sweep keys: %w", err)
		}
		n++
	}
	return n, nil
}

// scan hands over every message that was stored before it began and is there
// still, in the order of the stream.
//
// A consumer may live on a replica that lags, and its first request may be lost
// on the way there. So neither silence nor its word that nothing is pending ends
// a scan: the leader is asked, and another consumer goes on where that one stopped.
func (s *Keys) scan(ctx context.Context, each func(stored)) error {
	info, err := ledger.Patiently(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.stream.Info(ctx) })
	if err != nil {
		return err
	}
	last := info.State.LastSeq
	more := info.State.Msgs > 0
	for seen := uint64(0); more; {
		if seen, err = s.read(ctx, seen, each); err != nil {
			return err
		}
		if more, err = s.hasMore(ctx, seen, last); err != nil {
			return err
		}
	}
	return nil
}

// read hands over what one consumer gives after sequence seen, until it says
// that nothing is pending or nothing comes, and tells how far that was.
func (s *Keys) read(ctx context.Context, seen uint64, each func(stored)) (uint64, error) {
	c, err := s.js.OrderedConsumer(ctx, KeysStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       seen + 1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return seen, err
	}
	it, err := c.Messages(jetstream.PullMaxMessages(scanBatch))
	if err != nil {
		return seen, err
	}
	defer it.Stop()
	for {
		msg, err := it.Next(jetstream.NextMaxWait(scanIdle))
		if errors.Is(err, nats.ErrTimeout) {
			return seen, nil
		}
		if err != nil {
			return seen, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return seen, err
		}
		seen = meta.Sequence.Stream
		each(stored{codeID: codeOf(msg.Subject()), wrapped: msg.Data(), at: meta.Timestamp})
		if meta.NumPending == 0 {
			return seen, nil
		}
	}
}

// hasMore asks the leader for a message after seen and up to last.
func (s *Keys) hasMore(ctx context.Context, seen, last uint64) (bool, error) {
	if seen >= last {
		return false, nil
	}
	msg, err := s.next(ctx, seen+1)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return msg.Sequence <= last, nil
}
