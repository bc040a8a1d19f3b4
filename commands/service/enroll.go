package service

import (
	"context"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

func (s *Service) enroll(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.EnrollRequest
	if err := readCommand(body, &r, &r.Command, &m); err != nil {
		return nil, err
	}
	res, err := s.commit(ctx, m, commands.Enroll, func(st projections.State, _ time.Time) (events.Event, error) {
		return commands.DecideEnroll(st, m, r.PublicKey)
	})
	if err != nil {
		return nil, err
	}
	var d events.EnrolledData
	if err := res.unpack(events.Enrolled, &d); err != nil {
		return nil, err
	}
	if d.PublicKey != r.PublicKey || res.state.Enrolled != r.PublicKey {
		return nil, otherBody()
	}
	s.endFormer(res.state)
	jwt, err := s.Issuer.Intercom(m.Intercom, r.PublicKey)
	if err != nil {
		return nil, s.internal(err)
	}
	match := s.Master.MatchKey(m.Intercom, r.PublicKey)
	return commands.EnrollAnswer{
		Intercom: m.Intercom, PublicKey: r.PublicKey, JWT: jwt, MatchKey: match[:],
		Revision: res.event.Revision, At: res.event.At,
	}, nil
}

func (s *Service) unenroll(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.UnenrollRequest
	if err := readCommand(body, &r, &r.Command, &m); err != nil {
		return nil, err
	}
	res, err := s.commit(ctx, m, commands.Unenroll, func(st projections.State, _ time.Time) (events.Event, error) {
		return commands.DecideUnenroll(st, m)
	})
	if err != nil {
		return nil, err
	}
	if err := res.unpack(events.Unenrolled, &events.UnenrolledData{}); err != nil {
		return nil, err
	}
	s.endFormer(res.state)
	return commands.UnenrollAnswer{Intercom: m.Intercom, Revision: res.event.Revision, At: res.event.At}, nil
}

// endFormer closes the connections of the keys that the intercom had before. If
// it fails they are still answered nothing, and the next start tries again.
func (s *Service) endFormer(st projections.State) {
	if err := s.End(st.Former...); err != nil {
		s.Log.Error("the connections of a former enrolment could not be ended", "intercom", st.Intercom, "error", err)
	}
}
