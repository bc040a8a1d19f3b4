package commands

import (
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// DecideUse decides one use at the keypad: an entered or exited event, or the
// reason that the keypad rejects for. An empty code id means that the digits
// match nothing.
func DecideUse(s projections.State, m Meta, codeID string, d projections.Direction, now time.Time) (events.Event, projections.Verdict, error) {
	reject := func(r projections.Reason) (events.Event, projections.Verdict, error) {
		return events.Event{}, projections.Verdict{Direction: d, Reason: r}, nil
	}
	if s.Settings == nil {
		return reject(projections.NotConfigured)
	}
	c, ok := s.Code(codeID)
	if !ok {
		return reject(projections.Unknown)
	}
	v := c.Judge(d, now)
	if v.Reason != "" {
		return events.Event{}, v, nil
	}
	t := events.Entered
	if v.Direction == projections.Exit {
		t = events.Exited
	}
	e, err := m.event(t, events.UsedData{CodeID: codeID, Device: v.Device, Flags: v.Flags})
	return e, v, err
}

// Again judges a repeated use: the caller did not hear the first answer. While
// the use stands as the code's last one and its gate's answer was not reported,
// it is judged afresh as if it were asked now: the code may have ended since
// (laws 2, 11). A use that no longer stands opens nothing (law 4).
func Again(s projections.State, use events.Stored, codeID string, now time.Time) projections.Verdict {
	c, ok := s.Code(codeID)
	if !ok {
		return projections.Verdict{Reason: projections.Unknown}
	}
	before, last := c.Before(use.ID)
	stands := last && c.Unanswered(use.ID)
	if stands {
		c = before
	}
	direction := projections.Entry
	if use.Type == events.Exited {
		direction = projections.Exit
	}
	v := c.Judge(direction, now)
	if v.Reason == "" && !stands {
		v.Reason = projections.WrongDirection
	}
	return v
}
