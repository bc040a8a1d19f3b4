package robust_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/ops/robust"
	"gatebook/ops/testkit"
)

const (
	groups          = 8 // intercoms at a time
	callersEach     = 8 // callers on each of them
	commandsEach    = 500
	dropRate        = 0.04
	answerWithin    = 8 * time.Second
	setupTries      = 50
	startLimit      = 8
	rememberedSent  = 40
	rememberedCodes = 10
)

// load is 64 callers on eight intercoms, which are renewed every 500 commands.
type load struct {
	t     testing.TB
	seed  uint64
	total int64
	urls  []string // one of each server
	h     *robust.History
	asOp  []*nats.Conn // the operator, on each server

	began   atomic.Int64 // operations
	dropped atomic.Int64 // answers that the caller threw away
	silent  atomic.Int64 // requests without an answer in time

	mu    sync.Mutex
	marks map[int64]chan struct{} // closed once that many operations have begun
}

func newLoad(t testing.TB, seed uint64, total int, l *testkit.Ledger, urls ...string) *load {
	x := &load{t: t, seed: seed, total: int64(total), urls: urls, h: robust.NewHistory(), marks: map[int64]chan struct{}{}}
	for _, url := range urls {
		x.asOp = append(x.asOp, l.Operator(url))
	}
	return x
}

// run asks until the operations are used up or ctx ends.
func (x *load) run(ctx context.Context) {
	var work sync.WaitGroup
	for g := range groups {
		work.Go(func() {
			for round := 0; x.began.Load() < x.total && ctx.Err() == nil; round++ {
				if !x.renew(ctx, g, round) {
					return
				}
			}
		})
	}
	work.Wait()
}

// renew makes a new intercom and has its callers ask for their 500 commands.
func (x *load) renew(ctx context.Context, g, round int) bool {
	in := &intercom{load: x, id: fmt.Sprintf("gate-%d-%d", g, round), left: commandsEach}
	first := in.caller(g*callersEach, round)
	if !first.setUp(ctx) {
		return ctx.Err() == nil && x.failSetUp(in.id)
	}
	defer in.close()
	var work sync.WaitGroup
	for i := range callersEach {
		c := first
		if i > 0 {
			c = in.caller(g*callersEach+i, round)
		}
		work.Go(func() {
			for ctx.Err() == nil && in.take() {
				c.step(ctx)
			}
		})
	}
	work.Wait()
	return true
}

func (x *load) failSetUp(id string) bool {
	x.t.Errorf("%s could not be set up in %d tries", id, setupTries)
	return false
}

// reached is closed once that many operations have begun.
func (x *load) reached(n int64) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.marks[n]
	if c == nil {
		c = make(chan struct{})
		x.marks[n] = c
		if x.began.Load() >= n {
			close(c)
		}
	}
	return c
}

func (x *load) count() {
	n := x.began.Add(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.marks[n]; c != nil {
		close(c)
	}
}

// intercom is what the callers of one intercom share.
type intercom struct {
	*load
	id      string
	match   matcher
	keypads []*nats.Conn // the enrolled intercom, on each server

	mu    sync.Mutex
	left  int
	codes []known
	sent  []sent
}

// known is a code as its callers know it.
type known struct {
	id, digits string
	use        string // the last use's command
}

// sent is a request that may be sent again.
type sent struct {
	ask    robust.Ask
	body   []byte
	keypad bool
}

// take gives one of the intercom's commands to a caller.
func (in *intercom) take() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.left--
	return in.left >= 0 && in.began.Load() < in.total
}

func (in *intercom) close() {
	for _, nc := range in.keypads {
		nc.Close()
	}
}

func (in *intercom) learn(k known) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.codes = append(in.codes, k)
	if len(in.codes) > rememberedCodes {
		in.codes = in.codes[1:]
	}
}

func (in *intercom) used(code, command string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range in.codes {
		if in.codes[i].id == code {
			in.codes[i].use = command
		}
	}
}

func (in *intercom) remember(s sent) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s.ask.Repeat = true
	in.sent = append(in.sent, s)
	if len(in.sent) > rememberedSent {
		in.sent = in.sent[1:]
	}
}

// caller asks one thing after another. All its choices come from the seed.
type caller struct {
	*intercom
	n   int
	src *rand.ChaCha8
	rnd *rand.Rand
}

func (in *intercom) caller(n, round int) *caller {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], in.seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	binary.LittleEndian.PutUint64(b[16:], uint64(round))
	src := rand.NewChaCha8(sha256.Sum256(b[:]))
	return &caller{in, n, src, rand.New(src)}
}

func (c *caller) newID() string { return ulid.MustNew(ulid.Now(), c.src).String() }

func (c *caller) operator() *nats.Conn { return c.asOp[c.rnd.IntN(len(c.asOp))] }

func (c *caller) keypad() *nats.Conn { return c.keypads[c.rnd.IntN(len(c.keypads))] }

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

// send asks for the first time and remembers what was sent.
func (c *caller) send(ctx context.Context, a robust.Ask, request any) *robust.Answer {
	body, err := json.Marshal(request)
	if err != nil {
		c.t.Errorf("encode %s: %v", a.Verb, err)
		return nil
	}
	s := sent{a, body, a.Verb.AtKeypad()}
	if a.Command != "" {
		c.remember(s)
	}
	return c.do(ctx, s)
}

// do asks, and loses some of the answers: at once, without waiting, so that the
// caller goes on while the request is still on its way, or after they came.
func (c *caller) do(ctx context.Context, s sent) *robust.Answer {
	nc := c.operator()
	if s.keypad {
		nc = c.keypad()
	}
	subject := events.Request(c.id, string(s.ask.Verb), s.ask.Actor)
	lose := c.rnd.Float64() < dropRate
	gone := lose && c.rnd.IntN(2) == 0
	op := c.h.Begin(s.ask)
	c.count()
	if gone {
		c.dropped.Add(1)
		if err := nc.PublishRequest(subject, nc.NewInbox(), s.body); err != nil {
			c.t.Errorf("send %s: %v", subject, err)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, s.body)
	switch {
	case err != nil:
		c.silent.Add(1)
		return nil
	case lose:
		c.dropped.Add(1)
		return nil
	}
	a, err := readAnswer(s.ask.Verb, m)
	if err != nil {
		c.t.Errorf("read answer to %s: %v", op, err)
		return nil
	}
	if a != nil {
		c.h.End(op, a)
	}
	return a
}
