package projections

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gatebook/events"
)

// Breach is a law that an event broke when it was stored.
type Breach struct {
	Law     int
	Message string
}

// Breaks checks e against the state before it, by the laws that one event can
// break. It decides nothing: it is how the verifier and the tests judge a
// ledger that somebody else may have written.
func Breaks(s State, e events.Stored) *Breach {
	if b := s.breaksChain(e); b != nil {
		return b
	}
	if b := s.breaksWho(e); b != nil {
		return b
	}
	if s.Stopped != "" || e.V != events.Version {
		return nil
	}
	switch e.Type {
	case events.Issued:
		return s.breaksIssued(e)
	case events.Entered, events.Exited:
		return s.breaksUsed(e)
	case events.Failed:
		return s.breaksFailed(e)
	case events.Revoked, events.Expired:
		return s.breaksEnded(e)
	}
	return nil
}

func (s State) breaksChain(e events.Stored) *Breach {
	switch err := e.Extends(s.Link); {
	case s.Revision > 0 && e.Intercom != s.Intercom:
		return &Breach{6, "event is of another intercom"}
	case errors.Is(err, events.ErrTime):
		return &Breach{11, err.Error()}
	case err != nil:
		return &Breach{6, err.Error()}
	}
	return nil
}

// breaksWho: each event says who, how and for which command (7), and what only
// one party can do was done by that party (8).
func (s State) breaksWho(e events.Stored) *Breach {
	if !events.ValidBy(e.By) || !events.ValidVia(e.Via) || !events.ValidULID(e.Command) {
		return &Breach{7, "event does not say who, how or for which command"}
	}
	if s.Stopped != "" || e.V != events.Version {
		return nil // roles may be what this version does not know
	}
	by := e.By // of types that this version does not know
	switch e.Type {
	case events.Entered, events.Exited, events.Failed:
		by = events.Actor{Kind: events.IntercomActor, ID: e.Intercom}.By()
	case events.Expired:
		by = events.ByClock
	case events.Configured, events.Issued, events.Revoked, events.Enrolled, events.Unenrolled:
		if by = s.Owner; by == "" {
			by = events.ByOperator
		}
	}
	if e.By != by {
		return &Breach{8, fmt.Sprintf("%s was done by %s", e.Type, e.By)}
	}
	return nil
}

func (s State) breaksIssued(e events.Stored) *Breach {
	var d events.IssuedData
	if e.Unpack(&d) != nil {
		return nil
	}
	_, again := s.Code(d.CodeID)
	switch {
	case s.Settings == nil:
		return &Breach{10, "code was issued before settings were saved"}
	case again:
		return &Breach{1, fmt.Sprintf("code %s was issued twice", d.CodeID)}
	case s.Count(e.At) >= s.Settings.Limit:
		return &Breach{5, fmt.Sprintf("code %s was issued over the limit of %d", d.CodeID, s.Settings.Limit)}
	case d.EntryDevice != s.Settings.EntryDevice || d.ExitDevice != s.Settings.Exit() || d.LeaveOnce != s.Settings.LeaveOnce:
		return &Breach{10, fmt.Sprintf("code %s was not issued with the settings of that time", d.CodeID)}
	case d.ExpiresAt.Sub(e.At) <= 0 || d.ExpiresAt.Sub(e.At) > 720*time.Hour:
		return &Breach{11, fmt.Sprintf("code %s was issued with an impossible end", d.CodeID)}
	}
	return nil
}

func (s State) breaksUsed(e events.Stored) *Breach {
	var d events.UsedData
	if e.Unpack(&d) != nil {
		return nil
	}
	direction := Entry
	if e.Type == events.Exited {
		direction = Exit
	}
	c, ok := s.Code(d.CodeID)
	if !ok {
		return &Breach{4, fmt.Sprintf("%s of code %s that is not known", e.Type, d.CodeID)}
	}
	switch v := c.Judge(direction, e.At); {
	case s.Enrolled == "":
		return &Breach{8, fmt.Sprintf("%s while no intercom was enrolled", e.Type)}
	case v.Reason == IsRevoked:
		return &Breach{2, fmt.Sprintf("%s of code %s after it was revoked", e.Type, d.CodeID)}
	case v.Reason == IsExpired:
		return &Breach{11, fmt.Sprintf("%s of code %s after it expired", e.Type, d.CodeID)}
	case v.Reason != "":
		return &Breach{1, fmt.Sprintf("%s of code %s that was %s", e.Type, d.CodeID, v.Reason)}
	case v.Device != d.Device:
		return &Breach{10, fmt.Sprintf("%s of code %s at a device that it was not issued for", e.Type, d.CodeID)}
	case !slices.Equal(v.Flags, d.Flags):
		return &Breach{2, fmt.Sprintf("%s of code %s is not flagged as it must be", e.Type, d.CodeID)}
	}
	return nil
}

func (s State) breaksFailed(e events.Stored) *Breach {
	var d events.FailedData
	if e.Unpack(&d) != nil {
		return nil
	}
	if c, ok := s.Code(d.CodeID); !ok || !c.Unanswered(d.Use) {
		return &Breach{1, fmt.Sprintf("a gate's answer to a use of code %s that does not stand", d.CodeID)}
	}
	return nil
}

func (s State) breaksEnded(e events.Stored) *Breach {
	var d events.EndedData
	if e.Unpack(&d) != nil {
		return nil
	}
	c, ok := s.Code(d.CodeID)
	early := e.Type == events.Expired && e.At.Before(c.ExpiresAt)
	late := e.Type == events.Revoked && !e.At.Before(c.ExpiresAt)
	done := !c.RevokedAt.IsZero() || !c.ExpiredAt.IsZero() || !c.ExitedAt.IsZero()
	if !ok || done {
		return &Breach{1, fmt.Sprintf("%s of code %s that had ended", e.Type, d.CodeID)}
	}
	if early || late {
		return &Breach{11, fmt.Sprintf("%s of code %s on the wrong side of its end", e.Type, d.CodeID)}
	}
	return nil
}
