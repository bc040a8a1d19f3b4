package robust_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/ops/robust"
	"gatebook/projections"
)

// matcher turns digits into what travels in their place.
type matcher func(digits string) string

// setUp saves the intercom's settings and enrols it. Both are operations like
// any other, sent again until they are answered.
func (c *caller) setUp(ctx context.Context) bool {
	a := c.ask(commands.Configure)
	limit, validity, retry := startLimit, int64(24*3600), int64(300)
	a.Settings = commands.ConfigureRequest{Command: a.Command, Limit: &limit, ValidityS: &validity, RetryS: &retry}
	if c.until(ctx, a, a.Settings) == nil {
		return false
	}
	user, err := nkeys.CreatePairWithRand(nkeys.PrefixByteUser, c.src)
	if err != nil {
		c.t.Errorf("make key: %v", err)
		return false
	}
	public, err1 := user.PublicKey()
	seed, err2 := user.Seed()
	if err := errors.Join(err1, err2); err != nil {
		c.t.Errorf("make key: %v", err)
		return false
	}
	a = c.ask(commands.Enroll)
	a.PublicKey = public
	answer := c.until(ctx, a, commands.EnrollRequest{Command: a.Command, PublicKey: public})
	return answer != nil && c.connect(answer.Enrolled, string(seed))
}

// until sends the same command until it is accepted.
func (c *caller) until(ctx context.Context, a robust.Ask, request any) *robust.Answer {
	answer := c.send(ctx, a, request)
	for range setupTries {
		if answer != nil && answer.Refusal == nil || ctx.Err() != nil {
			return answer
		}
		c.mu.Lock()
		again := c.sent[len(c.sent)-1]
		c.mu.Unlock()
		answer = c.do(ctx, again)
	}
	return nil
}

func (c *caller) connect(e *commands.EnrollAnswer, seed string) bool {
	if e == nil {
		return false
	}
	key := seal.Key(e.MatchKey)
	c.match = func(digits string) string { return seal.Match(key, digits) }
	for _, url := range c.urls {
		nc, err := nats.Connect(url, nats.UserJWTAndSeed(e.JWT, seed), nats.MaxReconnects(-1),
			nats.CustomInboxPrefix(events.IntercomInbox(c.id, e.PublicKey)))
		if err != nil {
			c.t.Errorf("connect %s: %v", c.id, err)
			return false
		}
		c.keypads = append(c.keypads, nc)
	}
	return true
}

// step is one operation of a caller's choice.
func (c *caller) step(ctx context.Context) {
	code, found := c.code()
	switch n := c.rnd.IntN(100); {
	case n < 12:
		c.send(ctx, c.ask(commands.List), struct{}{})
	case n < 14:
		c.configure(ctx)
	case n < 24:
		c.again(ctx)
	case n < 44 || !found:
		c.issue(ctx)
	case n < 58:
		c.revoke(ctx, code)
	case n < 64 && code.use != "":
		c.fail(ctx, code)
	default:
		c.use(ctx, code)
	}
}

// code is one of those that were issued lately, live or not, mostly a new one.
func (c *caller) code() (known, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.codes) == 0 {
		return known{}, false
	}
	back := min(c.rnd.IntN(len(c.codes)), c.rnd.IntN(len(c.codes)))
	return c.codes[len(c.codes)-1-back], true
}

func (c *caller) configure(ctx context.Context) {
	a := c.ask(commands.Configure)
	limit := startLimit - 2 + c.rnd.IntN(5)
	a.Settings = commands.ConfigureRequest{Command: a.Command, Limit: &limit}
	c.send(ctx, a, a.Settings)
}

// again sends what was sent before: by this caller or by another, answered or
// not, perhaps while the first one is still on its way.
func (c *caller) again(ctx context.Context) {
	c.mu.Lock()
	s := c.sent[c.rnd.IntN(len(c.sent))]
	c.mu.Unlock()
	s.ask.Caller = c.n
	c.do(ctx, s)
}

func (c *caller) issue(ctx context.Context) {
	a := c.ask(commands.IssueVerb)
	mobile := fmt.Sprintf("+49170%07d", c.rnd.IntN(1e7))
	r := c.send(ctx, a, commands.IssueRequest{Command: a.Command, Name: "Guest of " + c.id, Mobile: mobile})
	if r != nil && r.Issued != nil && r.Issued.Code != nil {
		c.learn(known{id: r.Issued.ID, digits: *r.Issued.Code})
	}
}

func (c *caller) revoke(ctx context.Context, k known) {
	a := c.ask(commands.Revoke)
	a.Code = k.id
	c.send(ctx, a, commands.RevokeRequest{Command: a.Command, ID: k.id})
}

func (c *caller) fail(ctx context.Context, k known) {
	a := c.ask(commands.Fail)
	a.UseCommand, a.Gate = k.use, events.GateFailed
	if c.rnd.IntN(3) == 0 {
		a.Gate = events.GateTimeout
	}
	c.send(ctx, a, commands.FailedRequest{Command: a.Command, UseCommand: a.UseCommand, Gate: a.Gate})
}

func (c *caller) use(ctx context.Context, k known) {
	a := c.ask(commands.Use)
	a.Code = k.id
	digits := k.digits
	if c.rnd.IntN(20) == 0 {
		a.Code, digits = "", "nobody's" // no four digits, so never a code's
	}
	switch c.rnd.IntN(5) {
	case 0:
		a.Direction = projections.Entry
	case 1:
		a.Direction = projections.Exit
	}
	c.used(a.Code, a.Command)
	c.send(ctx, a, commands.UseRequest{Command: a.Command, Match: c.match(digits), Direction: string(a.Direction)})
}

// readAnswer reads what came back; nil where the ledger says that it cannot tell
// what became of the command.
func readAnswer(verb commands.Verb, m *nats.Msg) (*robust.Answer, error) {
	if m.Header.Get("Nats-Service-Error-Code") != "" {
		return readRefusal(m.Data)
	}
	a := &robust.Answer{}
	into := map[commands.Verb]any{
		commands.Configure: &a.Configured, commands.Enroll: &a.Enrolled, commands.IssueVerb: &a.Issued,
		commands.List: &a.Listed, commands.Revoke: &a.Revoked, commands.Use: &a.Used, commands.Fail: &a.Failed,
	}[verb]
	return a, json.Unmarshal(m.Data, into)
}

func readRefusal(body []byte) (*robust.Answer, error) {
	var said struct {
		Error struct {
			Code    commands.Code   `json:"code"`
			Message string          `json:"message"`
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Error.Code == "" {
		return nil, fmt.Errorf("read refusal %q: %w", body, err)
	}
	var details struct {
		Outcome  string `json:"outcome"`
		Revision uint64 `json:"revision"`
	}
	if len(said.Error.Details) > 0 {
		if err := json.Unmarshal(said.Error.Details, &details); err != nil {
			return nil, fmt.Errorf("read refusal: details: %w", err)
		}
	}
	if details.Outcome == "unknown" {
		return nil, nil
	}
	return &robust.Answer{Refusal: &robust.Refusal{Code: said.Error.Code, Message: said.Error.Message, Revision: details.Revision}}, nil
}
