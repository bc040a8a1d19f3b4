package service

import (
	"context"
	"errors"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

func (s *Service) revoke(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.RevokeRequest
	if err := readCommand(body, &r, &r.Command, &m); err != nil {
		return nil, err
	}
	if !events.ValidULID(r.ID) {
		return nil, badCode()
	}
	wait := time.Duration(r.WaitMS) * time.Millisecond
	if wait < 0 || wait > maxWait {
		return nil, commands.Refuse(commands.BadRequest, "wait at most 10m", "the wait is out of range")
	}
	res, err := s.commit(ctx, m, commands.Revoke, func(st projections.State, now time.Time) (events.Event, error) {
		return commands.DecideRevoke(st, m, r.ID, now)
	})
	if err != nil {
		return nil, s.endedLongAgo(ctx, m, r.ID, err)
	}
	var d events.EndedData
	if err := res.unpack(events.Revoked, &d); err != nil {
		return nil, err
	}
	if d.CodeID != r.ID {
		return nil, otherBody()
	}
	select {
	case s.waiters <- struct{}{}:
		defer func() { <-s.waiters }()
	default:
		wait = 0
	}
	waiting, cancel := context.WithTimeout(s.waits, wait)
	defer cancel()
	return s.revokeAnswer(waiting, res, r.ID), nil
}

func (s *Service) revokeAnswer(ctx context.Context, res result, code string) commands.RevokeAnswer {
	a := commands.RevokeAnswer{ID: code, RevokedAt: res.event.At, Revision: res.event.Revision}
	if c, ok := res.state.Code(code); ok && !c.EnteredAt.IsZero() {
		a.EnteredAt = &c.EnteredAt
	}
	a.AppliedAt = s.appliedAt(ctx, res.event.Intercom, res.event.Revision)
	return a
}

// endedLongAgo says how a code ended that has left the state since: who revokes
// it again is told the same as on the first day.
func (s *Service) endedLongAgo(ctx context.Context, m commands.Meta, code string, refusal error) error {
	r := (*commands.Refusal)(nil)
	if !errors.As(refusal, &r) || r.Code != commands.NotFound {
		return refusal
	}
	st, now, err := s.state(ctx, m, commands.Revoke)
	if err != nil {
		return err
	}
	c, err := s.codeEver(ctx, st, code)
	if err != nil {
		return err
	}
	st.Codes = []projections.Code{c}
	_, err = commands.DecideRevoke(st, m, code, now)
	if err == nil { // it cannot live and have left the state
		return refusal
	}
	return err
}
