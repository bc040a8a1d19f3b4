package durable

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"gatebook/commands"
	"gatebook/events"
)

// syncEvery is far more often than an intercom does it.
const syncEvery = 10 * time.Millisecond

// keypad is an enrolled intercom's connection.
type keypad struct {
	nc    *nats.Conn
	actor events.Actor
}

func newUser(src io.Reader) (public, seed string, err error) {
	user, err := nkeys.CreatePairWithRand(nkeys.PrefixByteUser, src)
	if err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	raw, err := user.Seed()
	if err != nil {
		return "", "", fmt.Errorf("make key: %w", err)
	}
	public, err = user.PublicKey()
	return public, string(raw), err
}

func dialKeypad(url, id string, e *commands.EnrollAnswer, seed string) (*keypad, error) {
	nc, err := nats.Connect(url, nats.UserJWTAndSeed(e.JWT, seed), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(), nats.CustomInboxPrefix(events.IntercomInbox(id, e.PublicKey)))
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", id, err)
	}
	return &keypad{nc, events.Actor{Kind: events.IntercomActor, ID: id}}, nil
}

// ask gives a *commands.Refusal where the ledger said no, and another error
// where it cannot be told what became of the request.
func (k *keypad) ask(ctx context.Context, v commands.Verb, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	m, err := k.nc.RequestWithContext(ctx, events.Request(k.actor.ID, string(v), k.actor), raw)
	if err != nil {
		return err
	}
	if m.Header.Get("Nats-Service-Error-Code") == "" {
		return json.Unmarshal(m.Data, into)
	}
	var said struct {
		Error struct {
			commands.Refusal
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &said); err != nil {
		return err
	}
	r := said.Error.Refusal
	r.Details = said.Error.Details
	return &r
}

// applyAll does what an intercom does beside asking: it catches up, and gives a
// receipt for what it has applied.
func (g *gate) applyAll(ctx context.Context) {
	pace := time.NewTicker(syncEvery)
	defer pace.Stop()
	for had := (commands.SyncRequest{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		var s commands.SyncAnswer
		if g.keypad.ask(ctx, commands.Sync, had, &s) != nil {
			continue
		}
		if s.Diverged {
			g.told.wrong(fmt.Errorf("LOST: %s: the ledger does not have revision %d any more, which it had told of", g.id, had.Revision))
		}
		had = commands.SyncRequest{Revision: s.Revision, Hash: s.Hash}
		g.told.sync(g.id, s)
		g.receipt(ctx, commands.ReceiptRequest{Revision: s.Revision, Hash: s.Hash})
	}
}

func (g *gate) receipt(ctx context.Context, r commands.ReceiptRequest) {
	if g.told.hasReceipt(g.id, r.Revision) {
		return
	}
	var a commands.ReceiptAnswer
	if g.keypad.ask(ctx, commands.Receipt, r, &a) == nil {
		g.read.Add(1)
		g.told.receipt(g.id, r, a.At)
	}
}
