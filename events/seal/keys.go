package seal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"

	"github.com/nats-io/nats.go/jetstream"
)

// KeysStream holds the wrapped key of every code that was not forgotten.
const KeysStream = "KEYS"

const keysPrefix = "keys."

var (
	// ErrNoKey is what a code gives whose key was destroyed or never stored.
	ErrNoKey = errors.New("no key is stored")
	// ErrKeyExists is what Put gives where another key is stored for the code.
	ErrKeyExists = errors.New("another key is stored")
	// ErrKeysConfig is what a stream KEYS gives that is not kept as asked.
	ErrKeysConfig = errors.New("stream KEYS is not configured as it must be")

	errStillThere = errors.New("the server reports success and has it still")
)

// The server's codes for a publish that found a message on its subject: one
// server, replicas, and the stream's own limit of one message a subject.
const (
	codeWrongLast     = jetstream.ErrorCode(10071)
	codeWrongLastRaft = jetstream.ErrorCode(10164)
	codeSubjectFull   = jetstream.ErrorCode(10077)
)

// Keys is the stream KEYS: one message a code, its key wrapped by the master
// key. It is safe for concurrent use. Several processes may use one stream.
type Keys struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	master *Master
}

// OpenKeys makes the stream KEYS, or checks that the one that is there is kept
// as it must be and opens with m. It must not be used on a difference: a stream
// with limits, say, would lose keys, and one that denies deletes would keep them.
func OpenKeys(ctx context.Context, js jetstream.JetStream, m *Master, replicas int) (*Keys, error) {
	want := keysConfig(replicas)
	stream, err := ledger.Patiently(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		stream, err := js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = js.Stream(ctx, KeysStream) // to name what is different
		}
		return stream, err
	})
	if err != nil {
		return nil, fmt.Errorf("open stream KEYS: %w", err)
	}
	if diff := differences(want, stream.CachedInfo().Config); len(diff) > 0 {
		return nil, fmt.Errorf("open stream KEYS: %w [%s]", ErrKeysConfig, strings.Join(diff, "; "))
	}
	s := &Keys{js: js, stream: stream, master: m}
	if err := s.checkMaster(ctx); err != nil {
		return nil, fmt.Errorf("open stream KEYS: %w", err)
	}
	return s, nil
}

// keysConfig asks for a stream that keeps every message until it is deleted by
// itself, and takes no second message on a subject from anybody: replacing one
// would remove the former without overwriting it.
func keysConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 KeysStream,
		Description:          "wrapped keys of codes",
		Subjects:             []string{keysPrefix + "*"},
		Storage:              jetstream.FileStorage,
		Retention:            jetstream.LimitsPolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		MaxMsgs:              -1,
		MaxBytes:             -1,
		MaxMsgSize:           -1,
		MaxConsumers:         -1,
		Replicas:             replicas,
		Duplicates:           time.Second, // no message has an id
		DenyPurge:            true,
	}
}

// differences names every setting in which got is not want. What the server
// notes for itself in the metadata is left out.
func differences(want, got jetstream.StreamConfig) []string {
	var diff []string
	got.Metadata = want.Metadata
	w, g := reflect.ValueOf(want), reflect.ValueOf(got)
	for i := range w.NumField() {
		if a, b := w.Field(i).Interface(), g.Field(i).Interface(); !reflect.DeepEqual(a, b) {
			diff = append(diff, fmt.Sprintf("%s is %v, want %v", w.Type().Field(i).Name, b, a))
		}
	}
	return diff
}

// checkMaster finds out that m is another ledger's key before anything is
// wrapped with it. One rotten key does not make it one: the oldest and the newest
// must both refuse.
func (s *Keys) checkMaster(ctx context.Context) error {
	oldest, err := s.next(ctx, 1)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	newest, err := s.newest(ctx, keysPrefix+"*")
	if err != nil {
		return err
	}
	if s.opens(oldest) || s.opens(newest) {
		return nil
	}
	return fmt.Errorf("%w: it does not open the stored keys", ErrMaster)
}

func (s *Keys) opens(msg *jetstream.RawStreamMsg) bool {
	_, err := s.master.Unwrap(codeOf(msg.Subject), msg.Data)
	return err == nil
}

func codeOf(subject string) string { return strings.TrimPrefix(subject, keysPrefix) }

func subjectOf(codeID string) (string, error) {
	if !events.ValidULID(codeID) {
		return "", fmt.Errorf("code id: %w", events.ErrSubject)
	}
	return keysPrefix + codeID, nil
}

// Put stores the key of a code, which has none yet. The same key once more is
// fine, so that a put of unknown outcome can be repeated; another is
// ErrKeyExists.
//
// nil means acknowledged, not yet durable: see the package. It comes before the
// code's event; a crash between the two leaves a key that Sweep removes.
func (s *Keys) Put(ctx context.Context, codeID string, k Key) error {
	subject, err := subjectOf(codeID)
	if err != nil {
		return fmt.Errorf("put key: %w", err)
	}
	wrapped, err := s.master.Wrap(codeID, k, rand.Reader)
	if err != nil {
		return fmt.Errorf("put key: %w", err)
	}
	for wait := putWait; ; wait = min(2*wait, putWaitMost) {
		err := s.publish(ctx, subject, wrapped)
		if isStored(err) {
			err = s.same(ctx, codeID, k)
		}
		if err == nil {
			return nil
		}
		// Replicas refuse because of a message that is on its way and that no read
		// shows yet. It may still come to nothing: ask again.
		if !errors.Is(err, ErrNoKey) {
			return fmt.Errorf("put key of %s: %w", codeID, err)
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("put key of %s: %w", codeID, err)
		}
	}
}

const (
	putWait     = time.Millisecond
	putWaitMost = 100 * time.Millisecond
)

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Keys) publish(ctx context.Context, subject string, wrapped []byte) error {
	_, err := s.js.Publish(ctx, subject, wrapped,
		jetstream.WithExpectStream(KeysStream), jetstream.WithExpectLastSequencePerSubject(0))
	return err
}

func isStored(err error) bool {
	return hasCode(err, codeWrongLast) || hasCode(err, codeWrongLastRaft) || hasCode(err, codeSubjectFull)
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

// same is nil if k is what is stored.
func (s *Keys) same(ctx context.Context, codeID string, k Key) error {
	stored, err := s.Get(ctx, codeID)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(stored[:], k[:]) != 1 {
		return ErrKeyExists
	}
	return nil
}

// Get reads the key of a code from the stream's leader. It gives ErrNoKey where
// there is none, and ErrSealed where what is stored does not open.
func (s *Keys) Get(ctx context.Context, codeID string) (Key, error) {
	msg, err := s.last(ctx, codeID)
	if err != nil {
		return Key{}, fmt.Errorf("get key of %s: %w", codeID, err)
	}
	k, err := s.master.Unwrap(codeID, msg.Data)
	if err != nil {
		return Key{}, fmt.Errorf("get key: %w", err)
	}
	return k, nil
}

// last asks the leader: the stream allows no direct get.
func (s *Keys) last(ctx context.Context, codeID string) (*jetstream.RawStreamMsg, error) {
	subject, err := subjectOf(codeID)
	if err != nil {
		return nil, err
	}
	msg, err := s.newest(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNoKey
	}
	return msg, err
}

func (s *Keys) next(ctx context.Context, from uint64) (*jetstream.RawStreamMsg, error) {
	return ledger.Patiently(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(keysPrefix+"*"))
	})
}

func (s *Keys) newest(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return ledger.Patiently(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.stream.GetLastMsgForSubject(ctx, subject)
	})
}

// Destroy makes the key of a code unreadable for ever, also for whoever has the
// master key. nil where there was none, so it is repeated until it gives nil.
//
// The server rewrites and syncs the key's whole block file (at most 4 MB). What
// a kill in the middle of that leaves behind, Scrub removes.
func (s *Keys) Destroy(ctx context.Context, codeID string) error {
	var tried uint64
	var failed error
	for {
		msg, err := s.last(ctx, codeID)
		if errors.Is(err, ErrNoKey) {
			return nil
		}
		if err == nil && msg.Sequence == tried {
			err = failed
		}
		if err != nil {
			return fmt.Errorf("destroy key of %s: %w", codeID, err)
		}
		tried, failed = msg.Sequence, s.erase(ctx, msg.Sequence)
	}
}

// erase may be refused because somebody else was faster, and the client library
// does not hand on the server's code for that: only another look tells.
func (s *Keys) erase(ctx context.Context, seq uint64) error {
	if err := s.stream.SecureDeleteMsg(ctx, seq); err != nil {
		return err
	}
	return errStillThere
}
