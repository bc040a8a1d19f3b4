package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"gatebook/events"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrConflict: another event took the place. Nothing of ours was stored.
	ErrConflict = errors.New("another event was first")
	// ErrUnknown: the event may or may not be stored, now or later. Until Settle
	// has said which, nothing may be decided for its intercom.
	ErrUnknown = errors.New("no answer: the event may be stored or not")
	// ErrUnavailable: the stream did not take the event. Nothing was stored.
	ErrUnavailable = errors.New("the stream is not there")
)

// A lost race answers with one of these; on replicas it is mostly the second.
const (
	wrongLastSequence     jetstream.ErrorCode = 10071
	wrongLastSequenceRaft jetstream.ErrorCode = 10164
)

// Pending is an event on its way: its bytes and its fence never change, however
// often it is sent, so that it can be stored at most once.
type Pending struct {
	Event events.Stored // Sequence is 0 until it is stored
	fence uint64
	msg   *nats.Msg
}

// Prepare encodes an event that must follow the intercom's event at the stream
// sequence fence (0: it is the intercom's first).
func Prepare(e events.Event, fence uint64) (*Pending, error) {
	raw, err := e.Encode()
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(events.Subject(e.Intercom, e.Type))
	m.Data = raw
	m.Header.Set(jetstream.MsgIDHeader, e.ID)
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(fence, 10))
	m.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, events.Fence(e.Intercom))
	return &Pending{Event: events.Stored{Event: e, Raw: raw, Hash: events.Hash(raw)}, fence: fence, msg: m}, nil
}

// Append stores the event, once. It is stored when Append returns nil, but not
// yet durable: nobody may be told before Durable().Wait has returned for its
// sequence. A crash before that leaves either the event or nothing, and nobody
// who was told.
func (l *Log) Append(ctx context.Context, p *Pending) (events.Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, p.msg)
	switch {
	case err == nil:
		return l.stored(p, ack.Sequence), nil
	case isConflict(err):
		return events.Stored{}, ErrConflict
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return events.Stored{}, fmt.Errorf("append to %s: %w", p.Event.Intercom, ErrUnavailable)
	default:
		return events.Stored{}, fmt.Errorf("append to %s: %w: %w", p.Event.Intercom, ErrUnknown, err)
	}
}

func (l *Log) stored(p *Pending, sequence uint64) events.Stored {
	e := p.Event
	e.Sequence = sequence
	l.durable.note(e.Mark())
	return e
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == wrongLastSequence || api.ErrorCode == wrongLastSequenceRaft)
}
