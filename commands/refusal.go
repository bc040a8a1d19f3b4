package commands

import "fmt"

// Code is why a command was not done: the same words everywhere.
type Code string

const (
	BadRequest     Code = "bad_request"
	NotConfigured  Code = "not_configured"
	NotFound       Code = "not_found"
	NotActive      Code = "not_active"
	AlreadyRevoked Code = "already_revoked"
	Expired        Code = "expired"
	LimitReached   Code = "limit_reached"
	NotAllowed     Code = "not_allowed"
	Conflict       Code = "conflict"
	Unavailable    Code = "unavailable"
)

// Refusal is a command that was not done. Message says what is wrong and Next
// what to do about it; neither ever holds a guest's digits, name or number.
// Details may, for somebody who may list them.
type Refusal struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
	Details any    `json:"details,omitempty"`
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Message }

// Refuse makes a refusal.
func Refuse(code Code, next, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...), Next: next}
}

func bad(next, format string, args ...any) *Refusal { return Refuse(BadRequest, next, format, args...) }
