package commands

import (
	"slices"

	"gatebook/events"
	"gatebook/projections"

	"github.com/nats-io/nkeys"
)

// DecideEnroll names the one key that may act as the intercom from here on and
// so ends the one before it.
func DecideEnroll(s projections.State, m Meta, publicKey string) (events.Event, error) {
	if !nkeys.IsValidPublicUserKey(publicKey) {
		return events.Event{}, bad("let gatebook enroll make it", "the public key is not that of a NATS user")
	}
	if publicKey == s.Enrolled || slices.Contains(s.Former, publicKey) {
		return events.Event{}, bad("make a new one", "this key was enrolled before")
	}
	return m.event(events.Enrolled, events.EnrolledData{PublicKey: publicKey})
}

// DecideUnenroll ends the intercom's key.
func DecideUnenroll(s projections.State, m Meta) (events.Event, error) {
	if s.Enrolled == "" {
		return events.Event{}, Refuse(NotFound, "see: gatebook enroll --help", "%s is not enrolled", m.Intercom)
	}
	return m.event(events.Unenrolled, events.UnenrolledData{PublicKey: s.Enrolled})
}
