package client

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"gatebook/commands"
)

// calls are the requests under way, so that what a server says beside a request
// ends it. The zero value is ready.
type calls struct {
	mu    sync.Mutex
	under map[*call]struct{} // guarded by mu
}

type call struct {
	subject string
	end     context.CancelCauseFunc
}

// begin enters a request. The context ends when the request must; its cause
// says why. done must be called.
func (c *calls) begin(ctx context.Context, subject string) (_ context.Context, done func()) {
	ctx, end := context.WithCancelCause(ctx)
	this := &call{subject, end}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.under == nil {
		c.under = map[*call]struct{}{}
	}
	c.under[this] = struct{}{}
	return ctx, func() {
		c.mu.Lock()
		delete(c.under, this)
		c.mu.Unlock()
		end(nil)
	}
}

// cut ends a request that may have reached the ledger: only the answer is lost.
type cut struct{ *commands.Refusal }

// deny ends the requests on the subject that the server's words quote: it threw
// them away. Where they quote none, the inbox was denied, on which all answers
// would have come.
func (c *calls) deny(words string, why *commands.Refusal) {
	if !strings.Contains(words, " Publish to ") {
		c.end(cut{why})
		return
	}
	c.each(func(one *call) {
		if strings.Contains(words, strconv.Quote(one.subject)) {
			one.end(why)
		}
	})
}

// end ends all requests.
func (c *calls) end(why cut) { c.each(func(one *call) { one.end(why) }) }

func (c *calls) each(f func(*call)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.under {
		f(one)
	}
}
