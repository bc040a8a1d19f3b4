package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/projections"
)

func (s *Service) issue(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.IssueRequest
	if err := readCommand(body, &r, &r.Command, &m); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	room := s.room(m.Intercom)
	draft := &draft{service: s, room: room, meta: m, request: r}
	res, err := s.commit(ctx, m, commands.IssueVerb, func(st projections.State, now time.Time) (events.Event, error) {
		return draft.decide(ctx, st, now)
	})
	if err != nil {
		return nil, s.nameHolders(err, room)
	}
	var d events.IssuedData
	if err := res.unpack(events.Issued, &d); err != nil {
		return nil, err
	}
	g, err := s.unsealed(ctx, room, m.Intercom, d)
	if err != nil {
		return nil, err
	}
	if res.repeated && !(g.readable && sameIssue(g.Guest, r)) {
		return nil, otherBody()
	}
	return issueAnswer(res, d, g), nil
}

// draft is a code on its way: drawn at the first decision, and drawn again with
// the same key if another ledger was first.
type draft struct {
	service *Service
	room    *room
	meta    commands.Meta
	request commands.IssueRequest
	id      string
	key     seal.Key
}

func (d *draft) decide(ctx context.Context, st projections.State, now time.Time) (events.Event, error) {
	// Whether there is a slot comes first: a refused command leaves nothing.
	if _, err := commands.DecideIssue(st, d.meta, d.request, commands.NewCode{}, now); err != nil {
		if err := d.service.learnGuests(ctx, d.room, st); err != nil {
			return events.Event{}, err
		}
		return events.Event{}, err
	}
	if d.service.Space != nil && d.service.Space.Low() {
		return events.Event{}, commands.Refuse(commands.Unavailable, "make room on the ledger's volume; revoking still works",
			"the ledger's volume is nearly full, so no new codes are given out")
	}
	if err := d.service.learnGuests(ctx, d.room, st); err != nil {
		return events.Event{}, err
	}
	if err := d.keep(ctx); err != nil {
		return events.Event{}, err
	}
	digits, err := commands.PickDigits(d.service.Rand, d.room.taken(st))
	if err != nil {
		return events.Event{}, err
	}
	guest := seal.Guest{Digits: digits, Name: d.request.Name, Mobile: d.request.Mobile}
	if d.request.ValidityS != nil {
		guest.ValidityS = *d.request.ValidityS
	}
	box, err := seal.Seal(d.key, d.service.Rand, d.meta.Intercom, d.id, guest)
	if err != nil {
		return events.Event{}, fmt.Errorf("seal: %w", err)
	}
	d.room.putGuest(d.id, guest)
	return commands.DecideIssue(st, d.meta, d.request, commands.NewCode{ID: d.id, Sealed: box}, now)
}

// keep makes the code's key and stores it before the event can be: a crash in
// between leaves a key without a code, which is swept, never a code that nobody
// can read. One barrier after the event covers both.
func (d *draft) keep(ctx context.Context) error {
	if d.id != "" {
		return nil
	}
	key, err := seal.NewKey(d.service.Rand)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	id := d.service.newID()
	if err := d.service.Keys.Put(ctx, id, key); err != nil {
		return fmt.Errorf("store key: %w", err)
	}
	d.id, d.key = id, key
	return nil
}

func (s *Service) unsealed(ctx context.Context, r *room, intercom string, d events.IssuedData) (guest, error) {
	if g, ok := r.guest(d.CodeID); ok {
		return guest{Guest: g.Guest, readable: true}, nil
	}
	g, err := s.keyring().unseal(ctx, intercom, d.CodeID, d.Sealed)
	if err != nil {
		return guest{}, s.internal(err)
	}
	return g, nil
}

func sameIssue(g seal.Guest, r commands.IssueRequest) bool {
	var validity int64
	if r.ValidityS != nil {
		validity = *r.ValidityS
	}
	return g.Name == r.Name && g.Mobile == r.Mobile && g.ValidityS == validity
}

func issueAnswer(res result, d events.IssuedData, g guest) commands.IssueAnswer {
	a := commands.IssueAnswer{ID: d.CodeID, IssuedAt: res.event.At, ExpiresAt: d.ExpiresAt, Revision: res.event.Revision}
	if g.readable {
		a.Recipient = &commands.Guest{Name: g.Name, Mobile: g.Mobile}
		if c, ok := res.state.Code(d.CodeID); ok && c.Live(res.now) {
			a.Code = &g.Digits
		}
	}
	return a
}

// nameHolders fills in who holds the slots. Whoever may issue may list them.
func (s *Service) nameHolders(err error, r *room) error {
	refusal := (*commands.Refusal)(nil)
	if !errors.As(err, &refusal) {
		return err
	}
	d, ok := refusal.Details.(commands.LimitDetails)
	if !ok {
		return err
	}
	for i := range d.Holders {
		d.Holders[i].Recipient = r.recipient(d.Holders[i].ID)
	}
	refusal.Details = d
	return refusal
}
