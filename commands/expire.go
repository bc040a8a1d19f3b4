package commands

import (
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// DecideExpire writes down that a code's time has passed. The code was dead
// from that instant; the event is for those who follow and for the audit.
func DecideExpire(s projections.State, m Meta, codeID string, now time.Time) (events.Event, error) {
	c, ok := s.Code(codeID)
	switch {
	case !ok:
		return events.Event{}, NoSuchCode(m.Intercom)
	case c.Status(now) != projections.Expired || !c.ExpiredAt.IsZero():
		return events.Event{}, Refuse(NotActive, "", "code %s has nothing to expire", codeID)
	}
	return m.event(events.Expired, events.EndedData{CodeID: codeID})
}
