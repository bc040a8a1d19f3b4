package client

import (
	"context"
	"errors"
	"iter"

	"gatebook/commands"
	"gatebook/events"

	"github.com/nats-io/nats.go"
)

// errEnough ends a reading whose reader wants no more.
var errEnough = errors.New("the reader has enough")

// Audit reads the history page by page, as of when it began. The last pair has
// the error, if there was one.
func (c *Client) Audit(ctx context.Context, r commands.AuditRequest) iter.Seq2[commands.AuditItem, error] {
	return func(yield func(commands.AuditItem, error) bool) {
		for {
			page, err := c.auditPage(ctx, r)
			if err != nil {
				yield(commands.AuditItem{}, err)
				return
			}
			for _, item := range page.Events {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == 0 {
				return
			}
			r.After, r.Upto = page.Next, page.Upto
		}
	}
}

func (c *Client) auditPage(ctx context.Context, r commands.AuditRequest) (a commands.AuditAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err = c.do(ctx, events.Whole, commands.Audit, r, &a)
	return a, err
}

// Replay reads what the intercoms were at an instant, a few at a time. The last
// pair has the error, if there was one.
func (c *Client) Replay(ctx context.Context, r commands.ReplayRequest) iter.Seq2[commands.ReplayAnswer, error] {
	return func(yield func(commands.ReplayAnswer, error) bool) {
		err := c.stream(ctx, commands.Replay, r, func(m *nats.Msg) (bool, error) {
			var a commands.ReplayAnswer
			if err := read(m, &a); err != nil {
				return false, err
			}
			if !yield(a, nil) {
				return false, errEnough
			}
			return a.More, nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(commands.ReplayAnswer{}, err)
		}
	}
}

// Verify has the ledger read itself from beginning to end and says what it
// found. Progress is called now and then; it may be nil.
func (c *Client) Verify(ctx context.Context, progress func(done, of uint64)) (a commands.VerifyAnswer, err error) {
	err = c.stream(ctx, commands.Verify, struct{}{}, func(m *nats.Msg) (bool, error) {
		a = commands.VerifyAnswer{}
		err := read(m, &a)
		if err == nil && a.More && progress != nil {
			progress(a.Events, a.Of)
		}
		return a.More, err
	})
	return a, err
}

// stream asks once of the whole ledger and hands over each answer, until take
// says that it was the last one.
func (c *Client) stream(ctx context.Context, verb commands.Verb, request any, take func(*nats.Msg) (more bool, err error)) error {
	a, err := c.newAsk(events.Whole, verb, request)
	if err != nil {
		return err
	}
	ctx, done := c.calls.begin(ctx, a.msg.Subject)
	defer done()
	if c.nc.IsClosed() {
		return lost(c.nc.LastError()).Refusal
	}
	a.msg.Reply = c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(a.msg.Reply)
	if err != nil {
		return a.unanswered(c.whyEnded(ctx), err)
	}
	defer sub.Unsubscribe()
	if err := c.nc.PublishMsg(a.msg); err != nil {
		return a.unanswered(c.whyEnded(ctx), err)
	}
	for more := true; more; {
		m, err := c.next(ctx, a, sub)
		if err != nil {
			return err
		}
		if more, err = take(m); err != nil {
			return err
		}
	}
	return nil
}

// next waits for the next answer, which may be a while after the one before it
// but not longer than the timeout.
func (c *Client) next(ctx context.Context, a ask, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	if err == nil && len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		err = nats.ErrNoResponders
	}
	if err != nil {
		return nil, a.unanswered(c.whyEnded(ctx), err)
	}
	return m, nil
}
