package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatebook/events"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNone is what asking for an event that is not there gives.
var ErrNone = errors.New("no such event")

// batch is how many messages a reading asks for at a time. At the client's
// default of 500 a replay is a quarter slower.
const batch = 10000

// pullFor is how long one request for messages stands. A consumer that is lost,
// or a request that did not reach it, is noticed after as long; at the client's
// default after half a minute.
const pullFor = 2 * time.Second

// jsNoMessage is the server's code for a message that is not there.
const jsNoMessage = 10037

// At is the event at a stream sequence, as the stream's leader has it.
func (l *Log) At(ctx context.Context, sequence uint64) (events.Stored, error) {
	return l.get(ctx, map[string]any{"seq": sequence})
}

// Last is an intercom's newest event, as the stream's leader has it.
func (l *Log) Last(ctx context.Context, intercom string) (events.Stored, error) {
	return l.get(ctx, map[string]any{"last_by_subj": events.Fence(intercom)})
}

// Next is an intercom's first event after a stream sequence, as the stream's
// leader has it.
func (l *Log) Next(ctx context.Context, intercom string, after uint64) (events.Stored, error) {
	return l.get(ctx, map[string]any{"seq": after + 1, "next_by_subj": events.Fence(intercom)})
}

// IssuedAfter is an intercom's first issued event after a time, by the server's
// clock, that found accepts. It looks at a few events and then gives up with
// ErrNone: the time is meant to be that of the event.
func (l *Log) IssuedAfter(ctx context.Context, intercom string, after time.Time, found func(events.Stored) bool) (events.Stored, error) {
	request := map[string]any{"next_by_subj": events.Subject(intercom, events.Issued), "start_time": after}
	for range 1000 {
		e, err := l.get(ctx, request)
		if err != nil || found(e) {
			return e, err
		}
		delete(request, "start_time")
		request["seq"] = e.Sequence + 1
	}
	return events.Stored{}, ErrNone
}

// get asks the leader for an event.
func (l *Log) get(ctx context.Context, request map[string]any) (events.Stored, error) {
	m, err := l.ask(ctx, request)
	if err != nil {
		return events.Stored{}, err
	}
	return decode(Raw{Sequence: m.Sequence, Subject: m.Subject, Data: m.Data})
}

// decode also compares the subject, by which the event was found, with what the
// event says of itself.
func decode(m Raw) (events.Stored, error) {
	e, err := events.Decode(m.Data, m.Sequence)
	if err == nil && m.Subject != events.Subject(e.Intercom, e.Type) {
		err = fmt.Errorf("decode event at sequence %d: %w: it stands under the subject of another", m.Sequence, events.ErrEnvelope)
	}
	if err != nil {
		return events.Stored{}, err
	}
	return e, nil
}

// sequence asks the leader where a message is, 0 for nowhere.
func (l *Log) sequence(ctx context.Context, request map[string]any) (uint64, error) {
	m, err := l.ask(ctx, request)
	if errors.Is(err, ErrNone) {
		return 0, nil
	}
	return m.Sequence, err
}

type message struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"seq"`
	Data     []byte `json:"data"`
}

// ask asks the leader. The client's own calls would use direct get on this
// stream, which any replica answers, also one that lags.
func (l *Log) ask(ctx context.Context, request map[string]any) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return message{}, fmt.Errorf("read event: %w", err)
	}
	m, err := l.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+events.Ledger, body)
	if err != nil {
		return message{}, fmt.Errorf("read event: %w", err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *message            `json:"message"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return message{}, fmt.Errorf("read event: %w", err)
	case answer.Error != nil && answer.Error.ErrorCode == jsNoMessage:
		return message{}, ErrNone
	case answer.Error != nil:
		return message{}, fmt.Errorf("read event: %w", answer.Error)
	case answer.Message == nil:
		return message{}, ErrNone
	}
	return *answer.Message, nil
}

// Range is what to read: the events from sequence From to sequence Upto, both
// included, of one intercom or of all. Since, when set, takes the place of From.
type Range struct {
	Intercom string
	From     uint64
	Since    time.Time
	Upto     uint64
}

// Raw is one message as the stream has it, before anything is made of it.
type Raw struct {
	Sequence uint64
	Subject  string
	Data     []byte
}

// Read calls f for each event of the range in stream order, decoded. Upto must
// be at most the stream's last sequence; what is told of it must wait for
// Durable(). A consumer silently leaves out what has rotted: where the whole
// ledger is read, a missing sequence is ErrRot.
func (l *Log) Read(ctx context.Context, r Range, f func(events.Stored) error) error {
	next := max(r.From, 1)
	whole := r.Intercom == "" && r.Since.IsZero()
	return l.ReadRaw(ctx, r, func(m Raw) error {
		if whole && m.Sequence != next {
			return fmt.Errorf("read ledger: %w: the event at sequence %d cannot be read", ErrRot, next)
		}
		next = m.Sequence + 1
		e, err := decode(m)
		if err != nil {
			return err
		}
		return f(e)
	})
}

// ReadRaw is Read without decoding: for who must also read what is not well.
// The data is only good during the call of f.
func (l *Log) ReadRaw(ctx context.Context, r Range, f func(Raw) error) error {
	r, err := l.narrow(ctx, r)
	if err != nil || r.Upto == 0 || r.From > r.Upto {
		return err
	}
	c, err := l.js.OrderedConsumer(ctx, events.Ledger, consumer(r))
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	defer l.drop(ctx, c)
	if c.CachedInfo().NumPending == 0 && !l.mayLag() {
		return nil
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(batch), jetstream.PullExpiry(pullFor))
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	defer messages.Stop()
	for {
		done, err := l.readOne(ctx, messages, r, f)
		if err != nil || done {
			return err
		}
	}
}

// mayLag: with replicas a consumer may sit on one that does not have the newest
// events yet. That it has no more to give does not mean that there is no more.
func (l *Log) mayLag() bool { return l.config.Replicas > 1 }

// narrow asks the leader where the range really begins and ends. On replicas it
// then ends at an event that is there, so that a reading which does not get
// that far is noticed.
func (l *Log) narrow(ctx context.Context, r Range) (Range, error) {
	filter := "ledger.>"
	if r.Intercom != "" {
		filter = events.Fence(r.Intercom)
	}
	if !r.Since.IsZero() {
		first, err := l.sequence(ctx, map[string]any{"next_by_subj": filter, "start_time": r.Since})
		if err != nil || first == 0 {
			return Range{}, err
		}
		r.From, r.Since = first, time.Time{}
	}
	if r.Intercom != "" && l.mayLag() {
		last, err := l.sequence(ctx, map[string]any{"last_by_subj": filter})
		if err != nil {
			return Range{}, err
		}
		r.Upto = min(r.Upto, last)
	}
	return r, nil
}

// drop spares the server a consumer that nobody uses any more. One that cannot
// be dropped now goes by itself.
func (l *Log) drop(ctx context.Context, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.timeout)
	defer cancel()
	_ = l.js.DeleteConsumer(ctx, events.Ledger, c.CachedInfo().Name)
}

func (l *Log) readOne(ctx context.Context, messages jetstream.MessagesContext, r Range, f func(Raw) error) (done bool, err error) {
	short, cancel := context.WithTimeout(ctx, 5*l.timeout) // the rest may be missing for good
	defer cancel()
	m, err := messages.Next(jetstream.NextContext(short))
	if err != nil && ctx.Err() == nil && short.Err() != nil && !l.mayLag() {
		err = ErrRot
	}
	if err != nil {
		return false, fmt.Errorf("read ledger up to sequence %d: %w", r.Upto, err)
	}
	meta, err := m.Metadata()
	if err != nil {
		return false, fmt.Errorf("read ledger: %w", err)
	}
	at := meta.Sequence.Stream
	if at > r.Upto {
		return true, nil
	}
	if err := f(Raw{Sequence: at, Subject: m.Subject(), Data: m.Data()}); err != nil {
		return false, err
	}
	return at == r.Upto || meta.NumPending == 0 && !l.mayLag(), nil
}

// consumer gives up where the client would try for ever: a reading that cannot
// go on is an error, and who follows begins again.
func consumer(r Range) jetstream.OrderedConsumerConfig {
	c := jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(r.From, 1),
		InactiveThreshold: 30 * time.Second, MaxResetAttempts: 1,
	}
	if r.Intercom != "" {
		c.FilterSubjects = []string{events.Fence(r.Intercom)}
	}
	return c
}

// Follow calls f for each event from a sequence on, as they are stored, until
// ctx ends or the reading is interrupted: then the caller begins again. The events
// may not be durable yet on a server that syncs lazily.
func (l *Log) Follow(ctx context.Context, from uint64, f func(events.Stored)) error {
	c, err := l.js.OrderedConsumer(ctx, events.Ledger, consumer(Range{From: from}))
	if err != nil {
		return fmt.Errorf("follow ledger: %w", err)
	}
	messages, err := c.Messages(jetstream.PullExpiry(pullFor))
	if err != nil {
		return fmt.Errorf("follow ledger: %w", err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("follow ledger: %w", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("follow ledger: %w", err)
		}
		e, err := decode(Raw{Sequence: meta.Sequence.Stream, Subject: m.Subject(), Data: m.Data()})
		if err != nil {
			return fmt.Errorf("follow ledger: %w", err)
		}
		l.durable.note(e.Mark())
		f(e)
	}
}

// LastSequence is the stream's newest sequence, as its leader has it.
func (l *Log) LastSequence(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	s, err := l.js.Stream(ctx, events.Ledger)
	if err != nil {
		return 0, fmt.Errorf("read ledger: %w", err)
	}
	return s.CachedInfo().State.LastSeq, nil
}
