package projections

import (
	"time"

	"gatebook/events"
)

// Kept is how long after its end a code stays in the state: its digits are not
// given out again, the keypad names why it is rejected, and a guest whose code
// was issued with leave-once may still leave.
const Kept = 24 * time.Hour

// MaxFailed is how often a gate's failure gives a code back.
const MaxFailed = 3

// Code is one code, as its events made it. Times are zero until the event.
type Code struct {
	ID          string    `json:"id"`
	IssuedAt    time.Time `json:"issued_at"`
	IssuedBy    string    `json:"issued_by"`
	Sealed      []byte    `json:"sealed,omitempty"`
	ExpiresAt   time.Time `json:"expires_at"`
	EntryDevice string    `json:"entry_device"`
	ExitDevice  string    `json:"exit_device"`
	LeaveOnce   bool      `json:"leave_once,omitempty"`

	EnteredAt time.Time `json:"entered_at,omitzero"`
	ExitedAt  time.Time `json:"exited_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	ExpiredAt time.Time `json:"expired_at,omitzero"`

	RevokedRevision uint64 `json:"revoked_revision,omitempty"`
	// EntryUse and ExitUse are the ids of the entered and exited events that
	// stand; a gate's failure takes one away again.
	EntryUse string `json:"entry_use,omitempty"`
	ExitUse  string `json:"exit_use,omitempty"`
	// EntryAnswered and ExitAnswered say that the gate's answer to that use was
	// reported: it is reported once.
	EntryAnswered bool `json:"entry_answered,omitempty"`
	ExitAnswered  bool `json:"exit_answered,omitempty"`
	// EntryFailed: the gate did not open for the entry that stands, and it was
	// too late to give it back. The guest never got in.
	EntryFailed bool `json:"entry_failed,omitempty"`
	// GivenBack counts how often a failed gate gave the code back.
	GivenBack int `json:"given_back,omitempty"`
}

// Status is what a code is at an instant.
type Status string

const (
	Active  Status = "active"
	Inside  Status = "inside"
	Spent   Status = "spent"
	Revoked Status = "revoked"
	Expired Status = "expired"
)

// Status at now. A code past its time is expired whether or not anybody has
// written so (law 11).
func (c Code) Status(now time.Time) Status {
	switch {
	case !c.RevokedAt.IsZero():
		return Revoked
	case !c.ExpiredAt.IsZero():
		return Expired
	case !c.ExitedAt.IsZero():
		return Spent
	case !now.Before(c.ExpiresAt):
		return Expired
	case !c.EnteredAt.IsZero():
		return Inside
	default:
		return Active
	}
}

// Live reports whether the code takes a slot at now: active or inside.
func (c Code) Live(now time.Time) bool {
	s := c.Status(now)
	return s == Active || s == Inside
}

// EndedAt is when the code ended as seen at now, or the zero time while it lives.
func (c Code) EndedAt(now time.Time) time.Time {
	switch c.Status(now) {
	case Revoked:
		return c.RevokedAt
	case Spent:
		return c.ExitedAt
	case Expired:
		return c.ExpiresAt
	}
	return time.Time{}
}

// Unanswered reports whether the use stands and its gate's answer was not
// reported yet.
func (c Code) Unanswered(use string) bool {
	switch use {
	case "":
		return false
	case c.EntryUse:
		return !c.EntryAnswered
	case c.ExitUse:
		return !c.ExitAnswered
	}
	return false
}

// Before is the code as it was before the use, and whether that use is the last
// one that stands.
func (c Code) Before(use string) (Code, bool) {
	switch {
	case use == "":
		return c, false
	case use == c.ExitUse:
		c.ExitedAt, c.ExitUse, c.ExitAnswered = time.Time{}, "", false
		return c, true
	case use == c.EntryUse && c.ExitUse == "":
		c.EnteredAt, c.EntryUse, c.EntryAnswered, c.EntryFailed = time.Time{}, "", false, false
		return c, true
	}
	return c, false
}

// Direction is which way a guest wants to go. Bare digits name none.
type Direction string

const (
	Entry Direction = "entry"
	Exit  Direction = "exit"
)

// Reason is why a keypad rejects.
type Reason string

const (
	Unknown        Reason = "unknown"
	WrongDirection Reason = "wrong_direction"
	IsSpent        Reason = "spent"
	IsRevoked      Reason = "revoked"
	IsExpired      Reason = "expired"
	LockedOut      Reason = "locked_out"
	CutOff         Reason = "cut_off"
	NotConfigured  Reason = "not_configured"
)

// Verdict is the judgement on one use: an open in a direction, or a reason.
type Verdict struct {
	Direction Direction
	Device    string
	Flags     []string
	Reason    Reason // empty: open
}

// Judge says whether the code opens at now. No direction means entry, or exit
// for a guest who is inside. It is the one rule that the ledger decides by,
// the keypad refuses from memory by, and the verifier checks by (laws 1, 2).
func (c Code) Judge(d Direction, now time.Time) Verdict {
	if d == "" {
		d = Entry
		if c.isIn() {
			d = Exit
		}
	}
	v := Verdict{Direction: d, Device: c.EntryDevice}
	if d == Exit {
		v.Device = c.ExitDevice
	}
	switch status := c.Status(now); {
	case c.mayLeave(d, now):
		v.Flags = []string{events.FlagLeaveOnce}
	case status == Revoked:
		v.Reason = IsRevoked
	case status == Expired:
		v.Reason = IsExpired
	case status == Spent:
		v.Reason = IsSpent
	case d != Entry && d != Exit, (status == Inside) != (d == Exit):
		v.Reason = WrongDirection
	}
	return v
}

func (c Code) isIn() bool { return !c.EnteredAt.IsZero() && c.ExitedAt.IsZero() }

// mayLeave: the one exception to law 2, chosen before the code was issued.
func (c Code) mayLeave(d Direction, now time.Time) bool {
	if !c.LeaveOnce || d != Exit || !c.isIn() || c.EntryFailed || c.Live(now) {
		return false
	}
	return now.Before(c.EndedAt(now).Add(Kept))
}
