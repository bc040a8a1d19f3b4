package projections

import (
	"fmt"
	"slices"
	"time"

	"gatebook/events"
)

// Version names this fold. It changes whenever the same events come to make
// another state, so that kept views of the former fold are rebuilt.
const Version = 1

// Apply is the fold: the state after e. It never changes s.
//
// An event that does not extend the chain is an error and changes nothing
// (events.ErrChain). One that this version cannot read or place still moves
// revision and chain, and stops the state: what only shows it may go on, what
// decides must not.
func Apply(s State, e events.Stored) (State, error) {
	if s.Revision > 0 && e.Intercom != s.Intercom {
		return s, fmt.Errorf("apply event %s to %s: %w", e.ID, s.Intercom, events.ErrChain)
	}
	if err := e.Extends(s.Link); err != nil {
		return s, fmt.Errorf("apply event %s to %s: %w", e.ID, e.Intercom, err)
	}
	if e.Sequence != 0 && e.Sequence <= s.Sequence {
		return s, fmt.Errorf("apply event %s to %s: %w: it stands before it in the stream", e.ID, e.Intercom, events.ErrChain)
	}
	next := s
	next.Intercom, next.Sequence, next.Link, next.ID = e.Intercom, e.Sequence, e.Link(), e.ID
	if !next.take(e) && next.Stopped == "" {
		next.Stopped = fmt.Sprintf("revision %d, version %d, type %s", e.Revision, e.V, e.Type)
	}
	next.prune(e.At)
	return next, nil
}

// take changes the copy that Apply made; it must never write into a slice that
// the copy still shares with the state before. False is an event that cannot be
// understood or placed.
func (s *State) take(e events.Stored) bool {
	if e.V != events.Version {
		return false
	}
	switch e.Type {
	case events.Configured:
		return s.configured(e)
	case events.Enrolled:
		return s.enrolled(e)
	case events.Unenrolled:
		return s.unenrolled(e)
	case events.Issued:
		return s.issued(e)
	case events.Entered, events.Exited:
		return s.used(e)
	case events.Failed:
		return s.failed(e)
	case events.Revoked, events.Expired:
		return s.ended(e)
	}
	return false
}

func (s *State) configured(e events.Stored) bool {
	var d events.ConfiguredData
	if e.Unpack(&d) != nil || !d.Fit() {
		return false
	}
	if s.Settings == nil {
		s.Owner = e.By
	}
	s.Settings = &d
	return true
}

func (s *State) enrolled(e events.Stored) bool {
	var d events.EnrolledData
	if e.Unpack(&d) != nil || d.PublicKey == "" {
		return false
	}
	s.endKey()
	s.Enrolled = d.PublicKey
	return true
}

func (s *State) unenrolled(e events.Stored) bool {
	var d events.UnenrolledData
	if e.Unpack(&d) != nil || d.PublicKey == "" {
		return false
	}
	s.endKey()
	return true
}

func (s *State) endKey() {
	if s.Enrolled != "" {
		s.Former = append(slices.Clip(s.Former), s.Enrolled)
	}
	s.Enrolled = ""
}

func (s *State) issued(e events.Stored) bool {
	var d events.IssuedData
	if e.Unpack(&d) != nil || !d.Fit() {
		return false
	}
	i, found := s.index(d.CodeID)
	if found {
		return false
	}
	s.Codes = slices.Insert(slices.Clone(s.Codes), i, Code{
		ID: d.CodeID, IssuedAt: e.At, IssuedBy: e.By, Sealed: d.Sealed, ExpiresAt: d.ExpiresAt,
		EntryDevice: d.EntryDevice, ExitDevice: d.ExitDevice, LeaveOnce: d.LeaveOnce,
	})
	return true
}

func (s *State) used(e events.Stored) bool {
	var d events.UsedData
	return e.Unpack(&d) == nil && s.change(d.CodeID, func(c *Code) {
		if e.Type == events.Entered {
			c.EnteredAt, c.EntryUse, c.EntryAnswered, c.EntryFailed = e.At, e.ID, false, false
			return
		}
		c.EntryAnswered = true // too late to say that nobody was let in
		c.ExitedAt, c.ExitUse, c.ExitAnswered = e.At, e.ID, false
	})
}

func (s *State) ended(e events.Stored) bool {
	var d events.EndedData
	return e.Unpack(&d) == nil && s.change(d.CodeID, func(c *Code) {
		if e.Type == events.Expired {
			c.ExpiredAt = e.At
			return
		}
		c.RevokedAt, c.RevokedRevision = e.At, e.Revision
	})
}

func (s *State) failed(e events.Stored) bool {
	var d events.FailedData
	before := *s
	return e.Unpack(&d) == nil && s.change(d.CodeID, func(c *Code) {
		if !c.Unanswered(d.Use) {
			return // the first answer stands
		}
		if back, ok := before.givesBack(*c, d, e.At); ok {
			*c = back
			return
		}
		if d.Use == c.ExitUse {
			c.ExitAnswered = true
		} else {
			c.EntryAnswered, c.EntryFailed = true, d.Gate == events.GateFailed
		}
	})
}

// givesBack: a gate that definitely did not open gives the last use back within
// the retry window, at most MaxFailed times. It never revives a code that was
// revoked or has expired (one that let its guest leave once still does), and a
// spent code comes back only into a free slot: its own may have been given away
// at the instant it was spent (law 5).
func (s State) givesBack(c Code, d events.FailedData, at time.Time) (Code, bool) {
	back, last := c.Before(d.Use)
	if d.Gate != events.GateFailed || !last || c.GivenBack >= MaxFailed || s.Settings == nil {
		return c, false
	}
	used := c.EnteredAt
	if d.Use == c.ExitUse {
		used = c.ExitedAt
	}
	if at.Sub(used) >= time.Duration(s.Settings.RetryS)*time.Second {
		return c, false
	}
	back.GivenBack++
	switch {
	case back.mayLeave(Exit, at):
		return back, true
	case !back.Live(at):
		return c, false
	}
	return back, c.Live(at) || s.Count(at) < s.Settings.Limit
}

// change replaces one code by a changed copy of it.
func (s *State) change(id string, f func(*Code)) bool {
	i, ok := s.index(id)
	if !ok {
		return false
	}
	codes := slices.Clone(s.Codes)
	f(&codes[i])
	s.Codes = codes
	return true
}

// prune drops codes that an event ended at least Kept before at. A code whose
// time has passed stays until its expired event is there, so that the event is
// never forgotten.
func (s *State) prune(at time.Time) {
	old := func(c Code) bool {
		written := !c.RevokedAt.IsZero() || !c.ExitedAt.IsZero() || !c.ExpiredAt.IsZero()
		return written && at.Sub(c.EndedAt(at)) >= Kept
	}
	if slices.ContainsFunc(s.Codes, old) {
		s.Codes = slices.DeleteFunc(slices.Clone(s.Codes), old)
	}
}
