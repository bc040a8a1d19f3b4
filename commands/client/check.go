package client

import (
	"fmt"

	"gatebook/commands"
	"gatebook/events"
)

// CheckIntercom refuses what cannot be an intercom's id.
func CheckIntercom(id string) error {
	if events.ValidID(id) {
		return nil
	}
	return commands.Refuse(commands.BadRequest,
		"use lower-case letters, digits and dashes, at most 63, beginning with a letter or digit, such as front-gate",
		"%s is not the id of an intercom", short(id))
}

// CheckCode refuses what cannot be a code's id.
func CheckCode(id string) error {
	if events.ValidULID(id) {
		return nil
	}
	return commands.Refuse(commands.BadRequest, "copy it from: gatebook list INTERCOM", "%s is not the id of a code", short(id))
}

// short quotes what somebody typed, as far as one line goes.
func short(s string) string {
	const most = 70
	if len(s) > most {
		s = s[:most] + "..."
	}
	return fmt.Sprintf("%q", s)
}
