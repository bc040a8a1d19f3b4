package commands

import (
	"fmt"

	"gatebook/events"
	"gatebook/projections"
)

// Meta is what every command comes with.
type Meta struct {
	Intercom string
	Actor    events.Actor
	// Via is how the command came, as the event will say it.
	Via string
	// Command is the caller's id of the request.
	Command string
	// EventID is the id that the event will have.
	EventID string
	// Clock marks a command of the ledger's own timer.
	Clock bool
}

func (m Meta) by() string {
	if m.Clock {
		return events.ByClock
	}
	return m.Actor.By()
}

// event makes the decided event; the data types always encode.
func (m Meta) event(t events.Type, data any) (events.Event, error) {
	e, err := events.New(m.EventID, t, m.by(), m.Via, m.Command, data)
	if err != nil {
		return events.Event{}, fmt.Errorf("decide %s: %w", t, err)
	}
	return e, nil
}

// Admit refuses who acts beyond a role (law 8).
func Admit(s projections.State, m Meta, v Verb) error {
	if m.Clock || Allowed(s, m.Intercom, m.Actor, v) {
		return nil
	}
	return Refuse(NotAllowed, "ask the owner of the intercom", "%s may not %s on %s", m.Actor.By(), v, m.Intercom)
}

// Decidable refuses to decide on events that this program does not understand.
// Reading goes on.
func Decidable(s projections.State, m Meta) error {
	if s.Stopped != "" {
		return Refuse(Unavailable, "verify the ledger with: gatebook verify; an event of a newer version wants that version of gatebook",
			"nothing is decided on %s while it has an event that cannot be judged (%s)", m.Intercom, s.Stopped)
	}
	return nil
}

// MustBeConfigured refuses while the intercom's settings have never been saved.
func MustBeConfigured(s projections.State, intercom string) error {
	if s.Settings != nil {
		return nil
	}
	return Refuse(NotConfigured, "save them with: gatebook settings "+intercom+" --entry-device DEVICE",
		"the settings of %s have not been saved yet", intercom)
}
