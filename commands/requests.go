package commands

import (
	"bytes"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatebook/events"

	"github.com/go-json-experiment/json"
)

// What callers ask. Every request that may store an event names its command: a
// ULID that the caller made, by which an accepted one is found again for 24 h.
type (
	// ConfigureRequest saves settings; what is nil keeps its value.
	ConfigureRequest struct {
		Command     string  `json:"command"`
		EntryDevice *string `json:"entry_device,omitempty"`
		ExitDevice  *string `json:"exit_device,omitempty"`
		Limit       *int    `json:"limit,omitempty"`
		ValidityS   *int64  `json:"validity_s,omitempty"`
		GraceS      *int64  `json:"grace_s,omitempty"`
		RetryS      *int64  `json:"retry_s,omitempty"`
		LeaveOnce   *bool   `json:"leave_once,omitempty"`
		// Yes confirms a limit above CarefulLimit.
		Yes bool `json:"yes,omitempty"`
	}
	// IssueRequest asks for a code for exactly one person.
	IssueRequest struct {
		Command   string `json:"command"`
		Name      string `json:"name"`
		Mobile    string `json:"mobile"`
		ValidityS *int64 `json:"validity_s,omitempty"`
	}
	// CodeRequest asks for one code (show).
	CodeRequest struct {
		ID string `json:"id"`
	}
	// RevokeRequest ends one code. The answer waits up to WaitMS milliseconds
	// for the intercom's word that it has applied it.
	RevokeRequest struct {
		Command string `json:"command"`
		ID      string `json:"id"`
		WaitMS  int64  `json:"wait_ms,omitempty"`
	}
	// EnrollRequest names the NATS user that is to act as the intercom. Its seed
	// never leaves the caller.
	EnrollRequest struct {
		Command   string `json:"command"`
		PublicKey string `json:"public_key"`
	}
	// UnenrollRequest ends that user.
	UnenrollRequest struct {
		Command string `json:"command"`
	}
	// UseRequest asks to open. Match is the HMAC of the digits under the
	// intercom's own key: digits never travel.
	UseRequest struct {
		Command   string `json:"command"`
		Match     string `json:"match"`
		Direction string `json:"direction,omitempty"`
	}
	// FailedRequest reports how the gate answered the use that UseCommand asked
	// for: "failed" or "timeout". Where that use was never recorded there is
	// nothing to report, and the answer says so.
	FailedRequest struct {
		Command    string `json:"command"`
		UseCommand string `json:"use_command"`
		Gate       string `json:"gate"`
	}
	// SyncRequest says what the intercom has: the revision and hash of the
	// newest event that it has applied. Full asks for everything again.
	SyncRequest struct {
		Revision uint64 `json:"revision"`
		Hash     string `json:"hash"`
		Full     bool   `json:"full,omitempty"`
	}
	// ReceiptRequest is the intercom's word that it has applied its events up to
	// a revision, whose event has that hash.
	ReceiptRequest struct {
		Revision uint64 `json:"revision"`
		Hash     string `json:"hash"`
	}
	// AuditRequest asks for events in stream order, after a sequence.
	AuditRequest struct {
		Intercom string    `json:"intercom,omitempty"`
		Code     string    `json:"code,omitempty"`
		By       string    `json:"by,omitempty"`
		Type     string    `json:"type,omitempty"`
		Since    time.Time `json:"since,omitzero"`
		Until    time.Time `json:"until,omitzero"`
		After    uint64    `json:"after,omitempty"`
		// Upto fixes the end on the first page, so that a listing is of one moment.
		Upto uint64 `json:"upto,omitempty"`
	}
	// ReplayRequest asks for the states as of a sequence or, if that is zero, a time.
	ReplayRequest struct {
		Intercom string    `json:"intercom,omitempty"`
		Sequence uint64    `json:"sequence,omitempty"`
		Time     time.Time `json:"time,omitzero"`
	}
)

// Read decodes a request body strictly: one JSON object, no field that the
// request does not have, none twice, nothing after it. An empty body is an empty
// request.
func Read(body []byte, into any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' || json.Unmarshal(body, into, json.RejectUnknownMembers(true)) != nil {
		return bad("send one JSON object with the fields that the command has", "the request is not understood")
	}
	return nil
}

// CheckCommand refuses a command id that is no ULID.
func CheckCommand(id string) error {
	if !events.ValidULID(id) {
		return bad("give a ULID, the same one when repeating a command", "the command id is missing or not a ULID")
	}
	return nil
}

// Check refuses a recipient that is not exactly one person, or a validity out
// of range.
func (r *IssueRequest) Check() error {
	r.Name = strings.TrimSpace(r.Name)
	if err := checkName(r.Name); err != nil {
		return err
	}
	mobile, err := normalMobile(r.Mobile)
	if err != nil {
		return err
	}
	r.Mobile = mobile
	if r.ValidityS != nil && !within(*r.ValidityS, MinValidity, MaxValidity) {
		return bad("name a validity from 1m to 720h", "the validity is out of range")
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return bad("name the one person that the code is for", "the name is missing")
	case !utf8.ValidString(name) || utf8.RuneCountInString(name) > 100:
		return bad("use at most 100 characters", "the name is too long or not text")
	case strings.ContainsFunc(name, unfit):
		return bad("leave out control and text-direction characters", "the name has characters that cannot be shown safely")
	case !strings.ContainsFunc(name, seen):
		return bad("name the one person that the code is for", "the name has nothing that can be seen")
	}
	return nil
}

// unfit: control characters, line breaks, what is not a character, and what
// shows nothing or turns the direction of the text around it, which could make
// a name read as another. Joiners are part of how some names are written.
func unfit(r rune) bool {
	switch r {
	case '\u200c', '\u200d':
		return false
	case '\u2028', '\u2029', '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0', '\ufffd':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Noncharacter_Code_Point, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)
}

func seen(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) }

// normalMobile takes one number, with the usual separators, and gives it back
// without them.
func normalMobile(s string) (string, error) {
	const next = "give one number, such as +49 170 1234567"
	s = strings.TrimSpace(s)
	if s == "" {
		return "", bad(next, "the mobile number is missing")
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9', r == '+' && b.Len() == 0:
			b.WriteRune(r)
		case strings.ContainsRune(" -.()\u00a0\u2010\u2011", r):
		default:
			return "", bad(next, "the mobile is not one telephone number")
		}
	}
	n := strings.TrimPrefix(b.String(), "+")
	if len(n) < 5 || len(n) > 15 {
		return "", bad(next, "the mobile is not one telephone number")
	}
	return b.String(), nil
}
