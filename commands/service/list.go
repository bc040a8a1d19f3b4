package service

import (
	"context"

	"gatebook/commands"
)

func (s *Service) list(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	if err := commands.Read(body, &struct{}{}); err != nil {
		return nil, err
	}
	st, now, err := s.state(ctx, m, commands.List)
	if err != nil {
		return nil, err
	}
	if err := commands.MustBeConfigured(st, m.Intercom); err != nil {
		return nil, err
	}
	r := s.room(m.Intercom)
	if err := s.learnGuests(ctx, r, st); err != nil {
		return nil, s.internal(err)
	}
	a := commands.ListAnswer{Codes: []commands.ListItem{}, Limit: st.Settings.Limit, Revision: st.Revision}
	for _, c := range st.Live(now) {
		item := commands.ListItemOf(c, now)
		item.Recipient = r.recipient(c.ID)
		a.Codes = append(a.Codes, item)
	}
	return a, nil
}
