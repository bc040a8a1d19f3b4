package client

import (
	"encoding/json"
	"errors"

	"gatebook/commands"
)

// readRefusal keeps the details as they came: what they hold depends on the code.
func readRefusal(code commands.Code, body []byte) error {
	var said struct {
		Error struct {
			commands.Refusal
			Details json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Error.Code == "" {
		return commands.Refuse(code, "see the server's log", "the ledger refused without saying why")
	}
	r := said.Error.Refusal
	if len(said.Error.Details) > 0 && string(said.Error.Details) != "null" {
		r.Details = said.Error.Details
	}
	return &r
}

// Outcome is the details of a refusal that leaves open what became of a command.
type Outcome struct {
	Outcome string `json:"outcome"` // "unknown"
	Command string `json:"command"`
}

// Unknown refuses where a command may or may not have been, or yet be, stored.
// Repeating it with the same id tells, and does nothing twice.
func Unknown(command, why string) *commands.Refusal {
	r := commands.Refuse(commands.Unavailable, "repeat the command with the same id: --command-id "+command,
		"%s, so the command may or may not be stored", why)
	r.Details = Outcome{"unknown", command}
	return r
}

// IsUnknown reports whether err leaves open what became of a command, here or
// at the ledger.
func IsUnknown(err error) bool {
	r := (*commands.Refusal)(nil)
	if !errors.As(err, &r) || r.Details == nil {
		return false
	}
	raw, err := json.Marshal(r.Details)
	if err != nil {
		return false
	}
	var d Outcome
	return json.Unmarshal(raw, &d) == nil && d.Outcome == "unknown"
}
