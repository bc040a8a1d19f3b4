package service

import (
	"context"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

func (s *Service) failed(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.FailedRequest
	if err := readCommand(body, &r, &r.Command, &m); err != nil {
		return nil, err
	}
	if err := commands.CheckCommand(r.UseCommand); err != nil {
		return nil, err
	}
	room := s.room(m.Intercom)
	recorded := true
	res, err := s.commit(ctx, m, commands.Fail, func(st projections.State, now time.Time) (events.Event, error) {
		use, ok, err := s.earlier(ctx, room, m.Intercom, r.UseCommand)
		if err != nil {
			return events.Event{}, err
		}
		if recorded = ok; !ok {
			return events.Event{}, nil // nothing was recorded, so there is nothing to take back
		}
		return commands.DecideFailed(st, m, codeOf(use.Event), use.ID, r.Gate, now)
	})
	if err != nil {
		return nil, err
	}
	if !recorded {
		return commands.FailedAnswer{Revision: res.state.Revision}, nil
	}
	var d events.FailedData
	if err := res.unpack(events.Failed, &d); err != nil {
		return nil, err
	}
	if res.repeated {
		use, ok, err := s.earlier(ctx, room, m.Intercom, r.UseCommand)
		if err != nil {
			return nil, s.internal(err)
		}
		if d.Gate != r.Gate || ok && use.ID != d.Use {
			return nil, otherBody()
		}
	}
	return commands.FailedAnswer{Recorded: true, Revision: res.event.Revision}, nil
}
