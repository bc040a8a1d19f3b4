package events

import "time"

// Type is what happened. It is also the last token of the event's subject.
type Type string

// The types that this version writes and understands.
const (
	Configured Type = "configured"
	Enrolled   Type = "enrolled"
	Unenrolled Type = "unenrolled"
	Issued     Type = "issued"
	Entered    Type = "entered"
	Exited     Type = "exited"
	Failed     Type = "failed"
	Expired    Type = "expired"
	Revoked    Type = "revoked"
)

// The types whose names are reserved. A reader of this version counts them for
// revision and chain, and stops deciding for an intercom that has one.
const (
	Granted   Type = "granted"
	Withdrawn Type = "withdrawn"
	Reported  Type = "reported"
	Locked    Type = "locked"
	Unlocked  Type = "unlocked"
	Opened    Type = "opened"
	Forgotten Type = "forgotten"
	Restored  Type = "restored"
)

// The data of each event. Fields are never renamed and never change meaning;
// durations are whole seconds.
type (
	// ConfiguredData is the whole of an intercom's settings, not a change to
	// them. An empty exit device means the same as the entry device. The author
	// of an intercom's first configured event is its owner.
	ConfiguredData struct {
		EntryDevice string `json:"entry_device"`
		ExitDevice  string `json:"exit_device"`
		Limit       int    `json:"limit"`
		ValidityS   int64  `json:"validity_s"`
		GraceS      int64  `json:"grace_s"`
		RetryS      int64  `json:"retry_s"`
		LeaveOnce   bool   `json:"leave_once"`
	}
	// EnrolledData names the one NATS user that may act as the intercom from
	// here on; the users named before it may not.
	EnrolledData struct {
		PublicKey string `json:"public_key"`
	}
	// UnenrolledData names the NATS user that may no longer act as the intercom.
	UnenrolledData struct {
		PublicKey string `json:"public_key"`
	}
	// IssuedData is a new code. Sealed is the guest's name, number and digits
	// under the code's own key (package seal); the rest is what the code keeps
	// for its whole life, whatever the settings become (law 10).
	IssuedData struct {
		CodeID      string    `json:"code_id"`
		Sealed      []byte    `json:"sealed"`
		ExpiresAt   time.Time `json:"expires_at"`
		EntryDevice string    `json:"entry_device"`
		ExitDevice  string    `json:"exit_device"`
		LeaveOnce   bool      `json:"leave_once"`
	}
	// UsedData is the data of entered and of exited.
	UsedData struct {
		CodeID string   `json:"code_id"`
		Device string   `json:"device"`
		Flags  []string `json:"flags,omitempty"`
	}
	// FailedData says how the gate answered a use: gate is "failed" (a definite
	// "did not open") or "timeout". Use is the id of the entered or exited event.
	FailedData struct {
		CodeID string `json:"code_id"`
		Use    string `json:"use"`
		Gate   string `json:"gate"`
	}
	// EndedData is the data of revoked and of expired.
	EndedData struct {
		CodeID string `json:"code_id"`
	}
)

// The widest settings that any version may have saved.
const (
	maxLimit   = 1000
	maxSeconds = 720 * 60 * 60
)

// Fit reports whether the settings are ones that can be decided on.
func (d ConfiguredData) Fit() bool {
	return ValidID(d.EntryDevice) && (d.ExitDevice == "" || ValidID(d.ExitDevice)) &&
		d.Limit >= 1 && d.Limit <= maxLimit && d.ValidityS >= 1 && d.ValidityS <= maxSeconds &&
		d.GraceS >= 0 && d.GraceS <= maxSeconds && d.RetryS >= 0 && d.RetryS <= maxSeconds
}

// Exit is the device that opens for leaving.
func (d ConfiguredData) Exit() string {
	if d.ExitDevice == "" {
		return d.EntryDevice
	}
	return d.ExitDevice
}

// Fit reports whether the code is one that can be decided on.
func (d IssuedData) Fit() bool {
	return ValidULID(d.CodeID) && !d.ExpiresAt.IsZero() && d.ExpiresAt.Location() == time.UTC &&
		ValidID(d.EntryDevice) && ValidID(d.ExitDevice)
}

// What a gate may have answered, as failed events say it.
const (
	GateFailed  = "failed"
	GateTimeout = "timeout"
)

// FlagLeaveOnce marks the exit of a guest who was inside when the code ended
// and whose code was issued with leave-once.
const FlagLeaveOnce = "leave_once"

// Known reports whether this version writes and understands the type.
func (t Type) Known() bool {
	switch t {
	case Configured, Enrolled, Unenrolled, Issued, Entered, Exited, Failed, Expired, Revoked:
		return true
	}
	return false
}
