package metrics

import (
	"gatebook/commands"
	"gatebook/events"
)

const (
	other = "other"
	// done is the result of a command that was not refused.
	done = "ok"
)

func knownVerb(verb string) string {
	if v := commands.Verb(verb); v.OnIntercom() || v.OnWhole() || v.AtKeypad() {
		return verb
	}
	return other
}

func knownResult(result string) string {
	switch commands.Code(result) {
	case done, commands.BadRequest, commands.NotConfigured, commands.NotFound, commands.NotActive, commands.AlreadyRevoked,
		commands.Expired, commands.LimitReached, commands.NotAllowed, commands.Conflict, commands.Unavailable:
		return result
	}
	return other
}

func knownType(t events.Type) string {
	switch t {
	case events.Configured, events.Enrolled, events.Unenrolled, events.Issued, events.Entered, events.Exited,
		events.Failed, events.Expired, events.Revoked, events.Granted, events.Withdrawn, events.Reported,
		events.Locked, events.Unlocked, events.Opened, events.Forgotten, events.Restored:
		return string(t)
	}
	return other
}
