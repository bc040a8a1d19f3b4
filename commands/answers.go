package commands

import (
	"encoding/json"
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// What callers are told, as JSON on the wire and on standard output.
type (
	// Guest is a code's recipient.
	Guest struct {
		Name   string `json:"name"`
		Mobile string `json:"mobile"`
	}
	// SettingsAnswer is an intercom's settings. ExitDevice is the device that
	// opens for leaving, whether named or the same as the entry device.
	SettingsAnswer struct {
		Intercom        string    `json:"intercom"`
		EntryDevice     string    `json:"entry_device"`
		ExitDevice      string    `json:"exit_device"`
		ExitSameAsEntry bool      `json:"exit_same_as_entry"`
		Limit           int       `json:"limit"`
		ValidityS       int64     `json:"validity_s"`
		GraceS          int64     `json:"grace_s"`
		RetryS          int64     `json:"retry_s"`
		LeaveOnce       bool      `json:"leave_once"`
		GuessChance     float64   `json:"guess_chance"`
		Revision        uint64    `json:"revision"`
		At              time.Time `json:"at,omitzero"`
	}
	// IssueAnswer is a new code. Code is null once it can no longer be read.
	IssueAnswer struct {
		ID        string    `json:"id"`
		Code      *string   `json:"code"`
		Recipient *Guest    `json:"recipient"`
		IssuedAt  time.Time `json:"issued_at"`
		ExpiresAt time.Time `json:"expires_at"`
		Revision  uint64    `json:"revision"`
	}
	// ListItem is one live code.
	ListItem struct {
		ID         string             `json:"id"`
		Recipient  *Guest             `json:"recipient"`
		State      projections.Status `json:"state"`
		IssuedAt   time.Time          `json:"issued_at"`
		IssuedBy   string             `json:"issued_by"`
		EnteredAt  *time.Time         `json:"entered_at"`
		ExpiresAt  time.Time          `json:"expires_at"`
		RemainingS int64              `json:"remaining_s"`
	}
	// ListAnswer is the codes that live now, oldest first.
	ListAnswer struct {
		Codes    []ListItem `json:"codes"`
		Limit    int        `json:"limit"`
		Revision uint64     `json:"revision"`
	}
	// ShowAnswer is one code, live or ended, with its events.
	ShowAnswer struct {
		ListItem
		Code      *string     `json:"code"`
		RevokedAt *time.Time  `json:"revoked_at"`
		AppliedAt *time.Time  `json:"applied_at"`
		Events    []AuditItem `json:"events"`
	}
	// RevokeAnswer says when the code ended and, if the intercom has said so in
	// time, when it was applied there. EnteredAt tells of an entry recorded
	// before: the guest is inside, or still passing.
	RevokeAnswer struct {
		ID        string     `json:"id"`
		RevokedAt time.Time  `json:"revoked_at"`
		Revision  uint64     `json:"revision"`
		AppliedAt *time.Time `json:"applied_at"`
		EnteredAt *time.Time `json:"entered_at,omitempty"`
	}
	// EnrollAnswer is what the intercom connects with, beside the seed that the
	// caller kept.
	EnrollAnswer struct {
		Intercom  string    `json:"intercom"`
		PublicKey string    `json:"public_key"`
		JWT       string    `json:"jwt"`
		MatchKey  []byte    `json:"match_key"`
		Revision  uint64    `json:"revision"`
		At        time.Time `json:"at"`
	}
	// UnenrollAnswer says since when the intercom is not enrolled.
	UnenrollAnswer struct {
		Intercom string    `json:"intercom"`
		Revision uint64    `json:"revision"`
		At       time.Time `json:"at"`
	}
	// UseAnswer is the ledger's decision on one use. Use is the id of the event
	// that an open rests on.
	UseAnswer struct {
		Decision  string                `json:"decision"` // open or reject
		Reason    projections.Reason    `json:"reason,omitempty"`
		Direction projections.Direction `json:"direction,omitempty"`
		Device    string                `json:"device,omitempty"`
		CodeID    string                `json:"code_id,omitempty"`
		Use       string                `json:"use,omitempty"`
		Revision  uint64                `json:"revision"`
	}
	// FailedAnswer: Recorded is false where the use was never recorded.
	FailedAnswer struct {
		Recorded bool   `json:"recorded"`
		Revision uint64 `json:"revision"`
	}
	// SyncAnswer brings an intercom up to the durable mark. State is nil when the
	// intercom has it already. Diverged says that the ledger does not have the
	// event that the intercom named. A large match list comes in several answers,
	// More on all but the last.
	SyncAnswer struct {
		Revision uint64             `json:"revision"`
		Hash     string             `json:"hash"`
		Time     time.Time          `json:"time"`
		Diverged bool               `json:"diverged,omitempty"`
		State    *projections.State `json:"state,omitempty"`
		Match    map[string]string  `json:"match,omitempty"` // code id to HMAC of its digits
		More     bool               `json:"more,omitempty"`
	}
	// ReceiptAnswer is when the ledger took the receipt.
	ReceiptAnswer struct {
		At time.Time `json:"at"`
	}
	// AuditItem is one event as auditors read it.
	AuditItem struct {
		Sequence  uint64          `json:"sequence"`
		ID        string          `json:"id"`
		Type      events.Type     `json:"type"`
		Intercom  string          `json:"intercom"`
		Revision  uint64          `json:"revision"`
		At        time.Time       `json:"at"`
		By        string          `json:"by"`
		Via       string          `json:"via"`
		CodeID    *string         `json:"code_id"`   // null: about no code
		Recipient *Guest          `json:"recipient"` // null: cannot be read
		Data      json.RawMessage `json:"data"`
	}
	// AuditAnswer is a page of events. Next is the After of the next page, 0 at
	// the end; Upto is the sequence that the listing ends at.
	AuditAnswer struct {
		Events []AuditItem `json:"events"`
		Next   uint64      `json:"next"`
		Upto   uint64      `json:"upto"`
	}
	// ReplayAnswer is what the intercoms were at an instant. A large one comes in
	// several answers, More on all but the last.
	ReplayAnswer struct {
		AsOf      time.Time      `json:"as_of"`
		Sequence  uint64         `json:"sequence"`
		Intercoms []ReplayedItem `json:"intercoms"`
		More      bool           `json:"more,omitempty"`
	}
	// ReplayedItem is one intercom then.
	ReplayedItem struct {
		Intercom string          `json:"intercom"`
		Revision uint64          `json:"revision"`
		Settings *SettingsAnswer `json:"settings"`
		Codes    []ListItem      `json:"codes"`
	}
	// VerifyAnswer is what a whole reading of the ledger found. While it reads,
	// answers with More say how far it is.
	VerifyAnswer struct {
		OK               bool    `json:"ok"`
		Events           uint64  `json:"events"`
		FirstBadSequence *uint64 `json:"first_bad_sequence"`
		Law              *int    `json:"law"`
		Message          string  `json:"message"`
		Next             string  `json:"next"`
		Of               uint64  `json:"of,omitempty"`
		More             bool    `json:"more,omitempty"`
	}
)

// SettingsOf builds the settings answer of a configured event.
func SettingsOf(intercom string, d events.ConfiguredData, revision uint64, at time.Time) SettingsAnswer {
	return SettingsAnswer{
		Intercom: intercom, EntryDevice: d.EntryDevice, ExitDevice: d.Exit(), Limit: d.Limit,
		ValidityS: d.ValidityS, GraceS: d.GraceS, RetryS: d.RetryS, LeaveOnce: d.LeaveOnce,
		GuessChance: GuessChance(d.Limit), Revision: revision, At: at, ExitSameAsEntry: d.ExitDevice == "",
	}
}

// ListItemOf is a code as lists show it, without its recipient.
func ListItemOf(c projections.Code, now time.Time) ListItem {
	item := ListItem{ID: c.ID, State: c.Status(now), IssuedAt: c.IssuedAt, IssuedBy: c.IssuedBy, ExpiresAt: c.ExpiresAt}
	if !c.EnteredAt.IsZero() {
		item.EnteredAt = &c.EnteredAt
	}
	if c.Live(now) {
		item.RemainingS = int64(c.ExpiresAt.Sub(now) / time.Second)
	}
	return item
}
