package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"

	"gatebook/events"

	"github.com/nats-io/nats.go/jetstream"
)

// duplicates is how long the server remembers message ids. It only spares a
// settling ledger one read, and opening a store costs the more the longer it is.
const duplicates = 5 * time.Second

// ErrLoosened is what a stream whose configuration is not the ledger's gives:
// somebody changed it behind our back (law 6).
var ErrLoosened = errors.New("stream is not configured as a ledger must be")

// Expect compares the configuration that a server returned with what it was
// asked for. Servers answer some requests by silently dropping a guard, so what
// they return is what counts. It names every difference.
func Expect(want, got jetstream.StreamConfig) error {
	want.Metadata, got.Metadata = nil, nil // the server writes its version here
	a, b := fields(want), fields(got)
	var odd []string
	for name := range union(a, b) {
		if !reflect.DeepEqual(a[name], b[name]) {
			odd = append(odd, fmt.Sprintf("%s is %v, not %v", name, b[name], a[name]))
		}
	}
	if len(odd) == 0 {
		return nil
	}
	sort.Strings(odd)
	return fmt.Errorf("check stream %s: %w (%s)", want.Name, ErrLoosened, strings.Join(odd, "; "))
}

func fields(c jetstream.StreamConfig) map[string]any {
	raw, err := json.Marshal(c)
	m := map[string]any{}
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil { // a plain struct of the client's always encodes
		m["unreadable"] = err.Error()
	}
	for k, v := range m { // a field left out and a zero one are the same
		if v == nil || reflect.ValueOf(v).IsZero() {
			delete(m, k)
		}
	}
	return m
}

func union(a, b map[string]any) map[string]bool {
	u := map[string]bool{}
	for k := range a {
		u[k] = true
	}
	for k := range b {
		u[k] = true
	}
	return u
}

// EnsureStream makes the stream, or takes the one that is there if it is
// configured exactly so.
func EnsureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	s, err := Patiently(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		s, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s, err = js.CreateStream(ctx, want)
		}
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	info, err := Patiently(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return s.Info(ctx, jetstream.WithDeletedDetails(true))
	})
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	return info, Expect(want, info.Config)
}

// PlainStream is what our streams have in common: on file, no limit that would
// let an old message go, nothing scheduled or counted.
func PlainStream(name, subject string, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Replicas: replicas,
		MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		Duplicates: duplicates,
	}
}

func ledgerStream(replicas int) jetstream.StreamConfig {
	c := PlainStream(events.Ledger, events.LedgerSubjects, replicas)
	c.DenyDelete, c.DenyPurge, c.AllowDirect = true, true, true
	c.RePublish = &jetstream.RePublish{Source: events.LedgerSubjects, Destination: "live.{{wildcard(1)}}.{{wildcard(2)}}"}
	return c
}
