package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"gatebook/commands"
	"gatebook/commands/client"
	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/ops/robust"
	"gatebook/projections"
)

const (
	gatesEach   = 4 // intercoms in a round
	callersEach = 5 // callers on each of them
	limit       = 30
	askWithin   = 10 * time.Second
	remembered  = 12
)

// world is what lasts over all cuts: who asks, and all that was told.
type world struct {
	t      testing.TB
	seed   uint64
	people *client.Client
	url    string
	h      *robust.History
	told   told

	accepted, refused, read atomic.Int64

	mu   sync.Mutex
	open []sent // commands without an answer
	done []sent // accepted ones
}

// sent is a command that can be sent again.
type sent struct {
	gate   *gate
	ask    robust.Ask
	body   any
	answer *robust.Answer
}

// gate is one intercom: its enrolment, and what its callers know of its codes.
type gate struct {
	*world
	id     string
	key    seal.Key
	keypad *keypad

	mu    sync.Mutex
	codes []known
	ended []string // codes that somebody was told are revoked
}

type known struct{ id, digits string }

// caller asks one thing after another; all its choices come from the seed.
type caller struct {
	*gate
	n   int
	src *rand.ChaCha8
	rnd *rand.Rand
}

func (g *gate) caller(n int, stream string) *caller {
	var b [32]byte
	copy(b[:], fmt.Sprintf("%d %s %d", g.seed, stream, n))
	src := rand.NewChaCha8(b)
	return &caller{g, n, src, rand.New(src)}
}

func (c *caller) newID() string { return ulid.MustNew(ulid.Now(), c.src).String() }

func (c *caller) ask(verb commands.Verb) robust.Ask {
	a := robust.Ask{Caller: c.n, Intercom: c.id, Actor: events.Operator, Verb: verb}
	if verb.AtKeypad() {
		a.Actor = events.Actor{Kind: events.IntercomActor, ID: c.id}
	}
	if verb != commands.List {
		a.Command = c.newID()
	}
	return a
}

// setUp makes an intercom that is ready for codes.
func (w *world) setUp(id string) (*gate, error) {
	g := &gate{world: w, id: id}
	c := g.caller(0, id)
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	a := c.ask(commands.Configure)
	most := limit
	a.Settings = commands.ConfigureRequest{Command: a.Command, Limit: &most}
	if answer := g.do(ctx, a, a.Settings); answer == nil || answer.Refusal != nil {
		return nil, fmt.Errorf("save settings of %s: %+v", id, answer)
	}
	user, seed, err := newUser(c.src)
	if err != nil {
		return nil, err
	}
	a = c.ask(commands.Enroll)
	a.PublicKey = user
	answer := g.do(ctx, a, commands.EnrollRequest{Command: a.Command, PublicKey: user})
	if answer == nil || answer.Enrolled == nil {
		return nil, fmt.Errorf("enrol %s: %+v", id, answer)
	}
	g.key = seal.Key(answer.Enrolled.MatchKey)
	g.keypad, err = dialKeypad(w.url, id, answer.Enrolled, seed)
	return g, err
}

// step is one thing of a caller's choice.
func (c *caller) step(ctx context.Context) {
	code, found := c.code()
	switch n := c.rnd.IntN(100); {
	case n < 26 || !found:
		c.issue(ctx)
	case n < 58:
		c.use(ctx, code)
	case n < 70:
		c.revoke(ctx, code.id)
	case n < 78:
		c.revokeAgain(ctx)
	case n < 86:
		c.do(ctx, c.ask(commands.List), struct{}{})
	case n < 94:
		c.show(ctx, code.id)
	default:
		c.repeat(ctx)
	}
}

func (c *caller) code() (known, bool) {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if len(c.codes) == 0 {
		return known{}, false
	}
	return c.codes[c.rnd.IntN(len(c.codes))], true
}

func (c *caller) issue(ctx context.Context) {
	a := c.ask(commands.IssueVerb)
	body := commands.IssueRequest{Command: a.Command, Name: fmt.Sprintf("Guest %d of %s", c.rnd.IntN(1e6), c.id), Mobile: fmt.Sprintf("+49170%07d", c.rnd.IntN(1e7))}
	got := c.do(ctx, a, body)
	if got == nil || got.Issued == nil || got.Issued.Code == nil {
		return
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.codes = append(c.codes, known{got.Issued.ID, *got.Issued.Code}); len(c.codes) > remembered {
		c.codes = c.codes[1:]
	}
}

func (c *caller) use(ctx context.Context, k known) {
	a := c.ask(commands.Use)
	a.Code, a.Direction = k.id, []projections.Direction{"", projections.Entry, projections.Exit}[c.rnd.IntN(3)]
	c.do(ctx, a, commands.UseRequest{Command: a.Command, Match: seal.Match(c.key, k.digits), Direction: string(a.Direction)})
}

func (c *caller) revoke(ctx context.Context, code string) {
	a := c.ask(commands.Revoke)
	a.Code = code
	body := commands.RevokeRequest{Command: a.Command, ID: code}
	if c.rnd.IntN(4) == 0 {
		body.WaitMS = 200 // for a time of a receipt
	}
	got := c.do(ctx, a, body)
	if got == nil {
		return
	}
	if got.Revoked != nil && got.Revoked.AppliedAt != nil {
		c.told.applied(c.id, code, *got.Revoked.AppliedAt)
	}
	if got.Revoked != nil || got.Refusal != nil && got.Refusal.Code == commands.AlreadyRevoked {
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		c.ended = append(c.ended, code)
	}
}

// revokeAgain is a second revoke, whose refusal rests on the first one's event.
func (c *caller) revokeAgain(ctx context.Context) {
	c.gate.mu.Lock()
	ended := len(c.ended)
	var code string
	if ended > 0 {
		code = c.ended[ended-1-c.rnd.IntN(min(ended, remembered))]
	}
	c.gate.mu.Unlock()
	if code != "" {
		c.revoke(ctx, code)
	}
}

// repeat sends an accepted command once more, which is answered from the ledger.
func (c *caller) repeat(ctx context.Context) {
	c.world.mu.Lock()
	var s sent
	if n := len(c.done); n > 0 {
		s = c.done[n-1-c.rnd.IntN(min(n, 100))]
	}
	c.world.mu.Unlock()
	if s.gate != nil {
		s.again(ctx)
	}
}

// again sends the command as it was sent before.
func (s sent) again(ctx context.Context) *robust.Answer {
	s.ask.Repeat = true
	return s.gate.do(ctx, s.ask, s.body)
}

func (c *caller) show(ctx context.Context, code string) {
	var a commands.ShowAnswer
	if c.people.Do(ctx, c.id, commands.Show, commands.CodeRequest{ID: code}, &a) == nil {
		c.read.Add(1)
		c.told.show(c.id, a)
	}
}

// do asks, and keeps what was asked and answered.
func (g *gate) do(ctx context.Context, a robust.Ask, body any) *robust.Answer {
	op := g.h.Begin(a)
	answer := g.exchange(ctx, a, body)
	s := sent{g, a, body, answer}
	if answer != nil {
		g.h.End(op, answer)
	}
	g.world.mu.Lock()
	defer g.world.mu.Unlock()
	switch {
	case answer == nil:
		if a.Command != "" && !a.Repeat {
			g.open = append(g.open, s)
		}
	case answer.Refusal != nil:
		g.refused.Add(1)
	case answer.Listed != nil, answer.Used != nil && answer.Used.Decision != "open":
		g.read.Add(1)
	case !a.Repeat:
		g.accepted.Add(1)
		g.done = append(g.done, s)
	}
	return answer
}

// exchange gives nil where there is no answer, or one that leaves it open.
func (g *gate) exchange(ctx context.Context, a robust.Ask, body any) *robust.Answer {
	got := &robust.Answer{}
	into := map[commands.Verb]any{
		commands.Configure: &got.Configured, commands.Enroll: &got.Enrolled, commands.IssueVerb: &got.Issued,
		commands.List: &got.Listed, commands.Revoke: &got.Revoked, commands.Use: &got.Used,
	}[a.Verb]
	var err error
	if a.Verb.AtKeypad() {
		err = g.keypad.ask(ctx, a.Verb, body, into)
	} else {
		err = g.people.Do(ctx, g.id, a.Verb, body, into)
	}
	refusal := (*commands.Refusal)(nil)
	switch {
	case err == nil:
		return got
	case client.IsUnknown(err), !errors.As(err, &refusal):
		return nil
	}
	r := &robust.Refusal{Code: refusal.Code, Message: refusal.Message}
	var details struct{ Revision uint64 }
	if raw, ok := refusal.Details.(json.RawMessage); ok {
		_ = json.Unmarshal(raw, &details) // other refusals have other details
	}
	r.Revision = details.Revision
	return &robust.Answer{Refusal: r}
}

// run lets callers and intercoms ask until ctx ends.
func run(ctx context.Context, gates []*gate) {
	var work sync.WaitGroup
	for _, g := range gates {
		for n := range callersEach {
			c := g.caller(n+1, g.id)
			work.Go(func() {
				for ctx.Err() == nil {
					c.step(ctx)
				}
			})
		}
		work.Go(func() { g.applyAll(ctx) })
	}
	work.Wait()
}

// takeOpen gives the commands that are open, and forgets them.
func (w *world) takeOpen() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := w.open
	w.open = nil
	return open
}

// takeDone gives the accepted commands since it was called last.
func (w *world) takeDone() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := slices.Clone(w.done)
	w.done = nil
	return done
}
