package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"
	"gatebook/ops/node"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats.go"
)

// standIn is a server with somebody in the ledger's place, who says what a test
// tells him to.
type standIn struct {
	*node.Node
	t     *testing.T
	heard chan *nats.Msg
}

func newStandIn(t *testing.T) standIn {
	t.Helper()
	return standIn{testkit.StartNode(t, t.TempDir()), t, make(chan *nats.Msg, 100)}
}

// says answers each request with the messages in turn.
func (s standIn) says(answers ...*nats.Msg) {
	s.t.Helper()
	nc, err := s.Answers()
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = nc.Subscribe("cmd.>", func(m *nats.Msg) {
		for _, a := range answers {
			if err := m.RespondMsg(&nats.Msg{Header: a.Header, Data: a.Data}); err != nil {
				s.t.Errorf("answer: %v", err)
			}
		}
		s.heard <- m
	})
	if err := errors.Join(err, nc.Flush()); err != nil {
		s.t.Fatal(err)
	}
}

func (s standIn) creds(person string) []byte {
	s.t.Helper()
	creds, err := s.Issuer().Person(person)
	if err != nil {
		s.t.Fatal(err)
	}
	return creds
}

func (s standIn) dial(opts ...client.Option) *client.Client {
	s.t.Helper()
	c, err := client.Dial(s.URL(), s.creds("operator"), opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func answer(t *testing.T, v any) *nats.Msg {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return &nats.Msg{Data: data}
}

// refusal is one as the service sends it.
func refusal(t *testing.T, r *commands.Refusal) *nats.Msg {
	t.Helper()
	m := answer(t, map[string]any{"error": r})
	m.Header = nats.Header{"Nats-Service-Error-Code": {string(r.Code)}, "Nats-Service-Error": {r.Message}}
	return m
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// wantRefusal checks the code of an error and that its message has the words.
func wantRefusal(t *testing.T, err error, code commands.Code, words string) *commands.Refusal {
	t.Helper()
	r := (*commands.Refusal)(nil)
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal %s", err, code)
	}
	if r.Code != code || !strings.Contains(r.Message, words) {
		t.Fatalf("got %s %q, want %s with %q", r.Code, r.Message, code, words)
	}
	return r
}

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(raw)
}
