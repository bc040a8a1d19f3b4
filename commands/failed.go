package commands

import (
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// DecideFailed writes down that the gate did not answer a use with "done". What
// that gives back is the fold's to say, from the event.
func DecideFailed(s projections.State, m Meta, codeID, use, gate string, _ time.Time) (events.Event, error) {
	if gate != events.GateFailed && gate != events.GateTimeout {
		return events.Event{}, bad(`say "failed" or "timeout"`, "the gate's answer is not one that can be recorded")
	}
	c, ok := s.Code(codeID)
	if !ok {
		return events.Event{}, NoSuchCode(m.Intercom)
	}
	if !c.Unanswered(use) {
		return events.Event{}, Refuse(Conflict, "nothing is left to do", "this use has been answered for already")
	}
	return m.event(events.Failed, events.FailedData{CodeID: codeID, Use: use, Gate: gate})
}
