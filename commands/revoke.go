package commands

import (
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// DecideRevoke ends a code at once, for entry and for exit (law 2).
func DecideRevoke(s projections.State, m Meta, codeID string, now time.Time) (events.Event, error) {
	if err := MustBeConfigured(s, m.Intercom); err != nil {
		return events.Event{}, err
	}
	c, ok := s.Code(codeID)
	if !ok {
		return events.Event{}, NoSuchCode(m.Intercom)
	}
	switch c.Status(now) {
	case projections.Revoked:
		r := Refuse(AlreadyRevoked, "nothing is left to do", "code %s was revoked at %s", c.ID, c.RevokedAt.Format(time.RFC3339))
		r.Details = map[string]any{"revoked_at": c.RevokedAt, "revision": c.RevokedRevision}
		return events.Event{}, r
	case projections.Expired:
		return events.Event{}, Refuse(Expired, "nothing is left to do", "code %s expired at %s", c.ID, c.ExpiresAt.Format(time.RFC3339))
	case projections.Spent:
		return events.Event{}, Refuse(NotActive, "nothing is left to do", "code %s was used up at %s", c.ID, c.ExitedAt.Format(time.RFC3339))
	}
	return m.event(events.Revoked, events.EndedData{CodeID: codeID})
}

// NoSuchCode is the refusal for a code that the intercom never had.
func NoSuchCode(intercom string) error {
	return Refuse(NotFound, "see which there are with: gatebook list "+intercom, "%s has no such code", intercom)
}
