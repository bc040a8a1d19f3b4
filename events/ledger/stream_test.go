package ledger_test

import (
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats.go/jetstream"
)

// Law 6: a stream that somebody loosened behind our back is not served, and the
// difference is named.
func TestLoosenedStreamIsRefused(t *testing.T) {
	for name, change := range map[string]func(*jetstream.StreamConfig){
		"max_msgs is 10":         func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"max_bytes":              func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"max_age":                func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max_msgs_per_subject":   func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 },
		"max_msg_size":           func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
		"discard":                func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardNew },
		"allow_msg_ttl is true":  func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"allow_atomic":           func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true },
		"allow_direct":           func(c *jetstream.StreamConfig) { c.AllowDirect = false },
		"subjects is [ledger.>]": func(c *jetstream.StreamConfig) { c.Subjects = []string{"ledger.>"} },
		"republish":              func(c *jetstream.StreamConfig) { c.RePublish = nil },
		"duplicate_window":       func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute },
		"no_ack":                 func(c *jetstream.StreamConfig) { c.NoAck = true },
		"sources":                func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "OTHER"}} },
		"subject_transform": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "a", Destination: "b"}
		},
		"deny_purge is <nil>, not true": nil,
	} {
		t.Run(name, func(t *testing.T) {
			nc := connect(t, testkit.StartNode(t, t.TempDir()))
			l := open(t, nc, ledger.Config{})
			grow(t, l, "north", events.Stored{}, 2)
			if _, err := l.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}}); err != nil {
				t.Fatal(err)
			}
			if change == nil {
				recreateWithoutGuards(t, l)
			} else {
				reconfigure(t, l, change)
			}
			mustName(t, l.Recheck(t.Context()), ledger.ErrLoosened, name)
			_, err := ledger.Open(t.Context(), nc, ledger.Config{Replicas: 1})
			mustName(t, err, ledger.ErrLoosened, name)
		})
	}
}

// recreateWithoutGuards: the server does not let an update take these back, so
// whoever wants to must make the stream anew.
func recreateWithoutGuards(t *testing.T, l *ledger.Log) {
	t.Helper()
	info, err := stream(t, l).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := info.Config
	c.DenyDelete, c.DenyPurge = false, false
	if err := l.JetStream().DeleteStream(t.Context(), events.Ledger); err != nil {
		t.Fatal(err)
	}
	if _, err := l.JetStream().CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestStreamIsTakenAgainAsItIs(t *testing.T) {
	nc := connect(t, testkit.StartNode(t, t.TempDir()))
	for range 3 {
		l := open(t, nc, ledger.Config{})
		if err := l.Recheck(t.Context()); err != nil {
			t.Error(err)
		}
	}
	_, err := ledger.Open(t.Context(), nc, ledger.Config{Replicas: 3})
	mustName(t, err, ledger.ErrLoosened, "num_replicas is 1, not 3")
}

// What limits removed while they were lowered is missing for ever, also when
// they are back as they must be.
func TestMissingEventsAreNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		lower  func(*jetstream.StreamConfig)
		backTo func(*jetstream.StreamConfig)
		says   string
	}{
		"the beginning": {func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 }, func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 },
			"begins at sequence 5"},
		"a hole": {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 }, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = -1 },
			"2 events are missing, the first at sequence 2"},
	} {
		t.Run(name, func(t *testing.T) {
			nc := connect(t, testkit.StartNode(t, t.TempDir()))
			l := open(t, nc, ledger.Config{})
			grow(t, l, "south", events.Stored{}, 1)
			last := grow(t, l, "north", events.Stored{}, 4)
			if name == "the beginning" {
				grow(t, l, "north", last, 1)
			} else {
				grow(t, l, "south", events.Stored{Event: events.Event{Revision: 1, Prev: events.Genesis}, Sequence: 1, Hash: events.Genesis}, 1)
			}
			reconfigure(t, l, c.lower)
			reconfigure(t, l, c.backTo)
			mustName(t, l.Recheck(t.Context()), ledger.ErrRot)
			_, err := ledger.Open(t.Context(), nc, ledger.Config{Replicas: 1})
			mustName(t, err, ledger.ErrRot, c.says)
		})
	}
}
