package service

import (
	"context"
	"errors"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/projections"
	"gatebook/projections/views"

	"github.com/oklog/ulid/v2"
)

func (s *Service) show(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.CodeRequest
	if err := commands.Read(body, &r); err != nil {
		return nil, err
	}
	if !events.ValidULID(r.ID) {
		return nil, badCode()
	}
	st, now, err := s.state(ctx, m, commands.Show)
	if err != nil {
		return nil, err
	}
	c, err := s.codeEver(ctx, st, r.ID)
	if err != nil {
		return nil, err
	}
	g, err := s.unsealed(ctx, s.room(m.Intercom), m.Intercom, events.IssuedData{CodeID: c.ID, Sealed: c.Sealed})
	if err != nil {
		return nil, err
	}
	a := commands.ShowAnswer{ListItem: commands.ListItemOf(c, now)}
	if g.readable {
		a.Recipient = &commands.Guest{Name: g.Name, Mobile: g.Mobile}
		if c.Live(now) {
			a.Code = &g.Digits
		}
	}
	if !c.RevokedAt.IsZero() {
		a.RevokedAt = &c.RevokedAt
		a.AppliedAt = s.appliedAt(ended(), m.Intercom, c.RevokedRevision)
	}
	a.Events, err = s.eventsOf(ctx, st, c.ID)
	return a, err
}

// ended is a context that has: who is given it looks and does not wait.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func badCode() error {
	return commands.Refuse(commands.BadRequest, "copy it from: gatebook list INTERCOM", "the code id is not a ULID")
}

// codeEver finds a code in the state, or among those that have left it.
func (s *Service) codeEver(ctx context.Context, st projections.State, id string) (projections.Code, error) {
	if c, ok := st.Code(id); ok {
		return c, nil
	}
	c, ok, err := views.CodeEver(ctx, s.Ledger, st.Intercom, id, st.Sequence)
	if err != nil {
		return projections.Code{}, s.internal(err)
	}
	if !ok {
		return projections.Code{}, commands.NoSuchCode(st.Intercom)
	}
	return c, nil
}

// eventsOf reads the events of one code, from when its id was made.
func (s *Service) eventsOf(ctx context.Context, st projections.State, code string) ([]commands.AuditItem, error) {
	items := []commands.AuditItem{}
	r := ledger.Range{Intercom: st.Intercom, Since: madeAt(code), Upto: st.Sequence}
	err := s.Ledger.Read(ctx, r, func(e events.Stored) error {
		if codeOf(e.Event) == code {
			items = append(items, auditItem(e, code, nil))
		}
		return nil
	})
	if err == nil && (len(items) == 0 || items[0].Type != events.Issued) {
		err = errors.New("read the events of a code: its first ones are not there")
	}
	if err != nil {
		return nil, s.internal(err)
	}
	return items, nil
}

// clockMargin is how far the server's clock, which stamps messages, may lie
// before the ledger's, which makes ids.
const clockMargin = 10 * time.Second

// madeAt is a little before the code's id was made. The server stamps messages
// with a clock of its own, hence the margin.
func madeAt(code string) time.Time {
	id, err := ulid.ParseStrict(code)
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(id.Time()).Add(-clockMargin)
}
