package service

import (
	"context"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/projections"
)

func (s *Service) use(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.UseRequest
	if err := readCommand(body, &r, &r.Command, &m); err != nil {
		return nil, err
	}
	direction := projections.Direction(r.Direction)
	if direction != "" && direction != projections.Entry && direction != projections.Exit {
		return nil, commands.Refuse(commands.BadRequest, `say "entry", "exit" or nothing`, "the direction is not one")
	}
	room := s.room(m.Intercom)
	var code string
	var verdict projections.Verdict
	res, err := s.commit(ctx, m, commands.Use, func(st projections.State, now time.Time) (e events.Event, err error) {
		if code, err = s.match(ctx, room, st, r.Match, now); err != nil {
			return events.Event{}, err
		}
		e, verdict, err = commands.DecideUse(st, m, code, direction, now)
		return e, err
	})
	if err != nil {
		return nil, err
	}
	if res.repeated {
		if code, verdict, err = s.useAgain(ctx, room, res, r.Match, direction); err != nil {
			return nil, err
		}
	}
	return useAnswer(res, code, verdict), nil
}

// useAgain judges a use that was recorded before: the intercom has not heard,
// or not believed, the first answer.
func (s *Service) useAgain(ctx context.Context, r *room, res result, match string, d projections.Direction) (string, projections.Verdict, error) {
	var data events.UsedData
	if res.event.Type != events.Entered && res.event.Type != events.Exited || res.event.Unpack(&data) != nil {
		return "", projections.Verdict{}, otherBody()
	}
	if err := s.learnGuests(ctx, r, res.state); err != nil {
		return "", projections.Verdict{}, s.internal(err)
	}
	was := projections.Entry
	if res.event.Type == events.Exited {
		was = projections.Exit
	}
	kept, ok := s.matchOf(r, res.state, data.CodeID)
	if !ok { // the code is gone, or nobody is enrolled any more
		return "", projections.Verdict{Direction: d, Reason: projections.Unknown}, nil
	}
	if !seal.EqualMatch(kept, match) || d != "" && d != was {
		return "", projections.Verdict{}, otherBody()
	}
	return data.CodeID, commands.Again(res.state, res.event, data.CodeID, res.now), nil
}

// match finds the code that the digits are of: a live one first, else the one
// that ended last, within a day.
func (s *Service) match(ctx context.Context, r *room, st projections.State, match string, now time.Time) (string, error) {
	if err := s.learnGuests(ctx, r, st); err != nil {
		return "", err
	}
	var found projections.Code
	for _, c := range st.Codes {
		kept, ok := s.matchOf(r, st, c.ID)
		if !ok || !seal.EqualMatch(kept, match) {
			continue
		}
		if c.Live(now) {
			return c.ID, nil
		}
		ended := c.EndedAt(now)
		if now.Sub(ended) < projections.Kept && (found.ID == "" || ended.After(found.EndedAt(now))) {
			found = c
		}
	}
	return found.ID, nil
}

func useAnswer(res result, code string, v projections.Verdict) commands.UseAnswer {
	a := commands.UseAnswer{Decision: "open", Direction: v.Direction, CodeID: code, Revision: res.state.Revision}
	if v.Reason != "" {
		a.Decision, a.Reason = "reject", v.Reason
		return a
	}
	a.Device, a.Use = v.Device, res.event.ID
	return a
}
