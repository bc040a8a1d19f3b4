package client

import (
	"context"
	"encoding/json"
	"errors"

	"gatebook/commands"
	"gatebook/events"

	"github.com/nats-io/nats.go"
)

// Do asks for one command on an intercom and reads the answer into answer,
// unless that is nil. It waits until ctx ends.
//
// Each error is a *commands.Refusal. One with the details of Unknown leaves it
// open whether the command was stored; any other means that it was not.
func (c *Client) Do(ctx context.Context, intercom string, verb commands.Verb, request, answer any) error {
	if err := CheckIntercom(intercom); err != nil {
		return err
	}
	return c.do(ctx, intercom, verb, request, answer)
}

func (c *Client) do(ctx context.Context, intercom string, verb commands.Verb, request, answer any) error {
	a, err := c.newAsk(intercom, verb, request)
	if err != nil {
		return err
	}
	ctx, done := c.calls.begin(ctx, a.msg.Subject)
	defer done()
	if c.nc.IsClosed() {
		return lost(c.nc.LastError()).Refusal
	}
	m, err := c.nc.RequestMsgWithContext(ctx, a.msg)
	if err != nil {
		return a.unanswered(c.whyEnded(ctx), err)
	}
	return read(m, answer)
}

// ask is one request on its way.
type ask struct {
	msg *nats.Msg
	// command is its id, for one that may store an event.
	command string
}

func (c *Client) newAsk(intercom string, verb commands.Verb, request any) (ask, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return ask{}, commands.Refuse(commands.BadRequest, "", "the request cannot be written: %v", err)
	}
	var named struct {
		Command string `json:"command"`
	}
	if err := json.Unmarshal(body, &named); err != nil {
		return ask{}, commands.Refuse(commands.BadRequest, "", "the request is not an object: %v", err)
	}
	msg := nats.NewMsg(events.Request(intercom, string(verb), c.actor))
	msg.Data = body
	return ask{msg, named.Command}, nil
}

// whyEnded is the cause of what ended a request: its context's or, where the
// request has noticed first, that the connection has ended.
func (c *Client) whyEnded(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil || !c.nc.IsClosed() {
		return cause
	}
	return lost(c.nc.LastError())
}

// unanswered says why there is no answer, and whether it can be told what
// became of the request.
func (a ask) unanswered(cause, err error) error {
	if denied, ok := cause.(*commands.Refusal); ok { // the server threw it away
		return denied
	}
	lost := cut{}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return commands.Refuse(commands.Unavailable, "start one with: gatebook serve", "no ledger is answering")
	case notSent(err):
		return commands.Refuse(commands.Unavailable, "try again", "the request could not be sent: %v", err)
	case a.command != "":
		return Unknown(a.command, silence(cause))
	case errors.As(cause, &lost):
		return lost.Refusal
	}
	return commands.Refuse(commands.Unavailable, "try again, or allow more time with --timeout", "%s", silence(cause))
}

// notSent names the errors that come before a request leaves.
func notSent(err error) bool {
	return errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrMaxPayload)
}

// silence says what ended the wait for an answer.
func silence(cause error) string {
	lost := cut{}
	switch {
	case errors.As(cause, &lost):
		return lost.Message
	case errors.Is(cause, context.Canceled):
		return "interrupted before the ledger answered"
	}
	return "the ledger did not answer in time"
}

// read reads an answer, or the refusal that came in place of one.
func read(m *nats.Msg, answer any) error {
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return readRefusal(commands.Code(code), m.Data)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return commands.Refuse(commands.Unavailable, "use a client and a ledger of the same version",
			"the ledger's answer is not understood: %v", err)
	}
	return nil
}
