package commands

import (
	"gatebook/events"
	"gatebook/projections"
)

// Verb is a command's name: the third token of its subject.
type Verb string

const (
	Settings  Verb = "settings"
	Configure Verb = "configure"
	IssueVerb Verb = "issue"
	List      Verb = "list"
	Show      Verb = "show"
	Revoke    Verb = "revoke"
	Enroll    Verb = "enroll"
	Unenroll  Verb = "unenroll"
	Audit     Verb = "audit"
	Replay    Verb = "replay"
	Verify    Verb = "verify"
	Use       Verb = "use"
	Fail      Verb = "failed"
	Sync      Verb = "sync"
	Receipt   Verb = "receipt"
)

// Allowed is the role table (law 8). Everything about an intercom is for its
// owner; before it has one, and for the whole ledger, it is for the operator;
// what happens at the keypad is for the intercom alone.
func Allowed(s projections.State, intercom string, a events.Actor, v Verb) bool {
	switch {
	case v.AtKeypad():
		return a.Kind == events.IntercomActor && a.ID == intercom && s.Enrolled != ""
	case a.Kind != events.PersonActor:
		return false
	case v.OnWhole():
		return intercom == events.Whole && a == events.Operator
	case !v.OnIntercom() || intercom == events.Whole:
		return false
	case s.Owner == "":
		return a == events.Operator
	}
	return a.By() == s.Owner
}

// OnWhole reports whether the verb is asked of the ledger, not of an intercom.
func (v Verb) OnWhole() bool { return v == Audit || v == Replay || v == Verify }

// OnIntercom reports whether the verb is for the people of an intercom.
func (v Verb) OnIntercom() bool {
	switch v {
	case Settings, Configure, IssueVerb, List, Show, Revoke, Enroll, Unenroll:
		return true
	}
	return false
}

// AtKeypad reports whether the verb is the intercom's own.
func (v Verb) AtKeypad() bool {
	switch v {
	case Use, Fail, Sync, Receipt:
		return true
	}
	return false
}
