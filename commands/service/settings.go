package service

import (
	"context"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

func (s *Service) settings(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	if err := commands.Read(body, &struct{}{}); err != nil {
		return nil, err
	}
	st, _, err := s.state(ctx, m, commands.Settings)
	if err != nil {
		return nil, err
	}
	if err := commands.MustBeConfigured(st, m.Intercom); err != nil {
		return nil, err
	}
	return commands.SettingsOf(m.Intercom, *st.Settings, st.Revision, time.Time{}), nil
}

func (s *Service) configure(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.ConfigureRequest
	if err := readCommand(body, &r, &r.Command, &m); err != nil {
		return nil, err
	}
	res, err := s.commit(ctx, m, commands.Configure, func(st projections.State, _ time.Time) (events.Event, error) {
		return commands.DecideConfigure(st, m, r)
	})
	if err != nil {
		return nil, err
	}
	var d events.ConfiguredData
	if err := res.unpack(events.Configured, &d); err != nil {
		return nil, err
	}
	if res.repeated && !r.Saved(d) {
		return nil, otherBody()
	}
	return commands.SettingsOf(m.Intercom, d, res.event.Revision, res.event.At), nil
}

// readCommand reads a request that may store an event.
func readCommand(body []byte, into any, command *string, m *commands.Meta) error {
	if err := commands.Read(body, into); err != nil {
		return err
	}
	m.Command = *command
	return commands.CheckCommand(*command)
}

// unpack reads the event's data, if the event is what this command stores.
func (r result) unpack(t events.Type, into any) error {
	if r.event.Type != t || r.event.Unpack(into) != nil {
		return otherBody()
	}
	return nil
}

func otherBody() error {
	return commands.Refuse(commands.BadRequest, "use a new command id", "this command id was used for something else")
}
