package commands_test

import (
	"testing"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

// The role table, cell by cell: on an intercom of its own kind of owner, each
// verb is for exactly the actors named.
func TestAllowed(t *testing.T) {
	actors := map[string]events.Actor{
		"operator": events.Operator,
		"ada":      {Kind: events.PersonActor, ID: "ada"},
		"bob":      {Kind: events.PersonActor, ID: "bob"},
		"north":    {Kind: events.IntercomActor, ID: "north"},
		"south":    {Kind: events.IntercomActor, ID: "south"},
		// not the operator, not ada, whatever they are called
		"i-operator": {Kind: events.IntercomActor, ID: "operator"},
		"i-ada":      {Kind: events.IntercomActor, ID: "ada"},
		"p-north":    {Kind: events.PersonActor, ID: "north"},
		"i-whole":    {Kind: events.IntercomActor, ID: events.Whole},
		"nobody":     {},
		"kindless":   {ID: "operator"},
	}
	for _, c := range []struct {
		name, owner, enrolled, intercom string
		person                          string // who may do what people do on an intercom
		whole                           string // who may do what is done on the whole ledger
		keypad                          string // who may do what is done at the keypad
	}{
		{"no owner yet", "", "", "north", "operator", "", ""},
		{"no owner yet, enrolled", "", "U1", "north", "operator", "", "north"},
		{"owned by the operator", "operator", "U1", "north", "operator", "", "north"},
		{"owned by ada", "person:ada", "U1", "north", "ada", "", "north"},
		{"owned by ada, not enrolled", "person:ada", "", "north", "ada", "", ""},
		{"owned by nobody here", "person:eve", "U1", "north", "", "", "north"},
		{"owned by the clock", "clock", "U1", "north", "", "", "north"},
		{"owned by an intercom", "intercom:north", "U1", "north", "", "", "north"},
		{"the whole ledger", "", "", events.Whole, "", "operator", ""},
		{"the whole ledger, with an owner", "person:ada", "", events.Whole, "", "operator", ""},
		{"the whole ledger, owned by the operator", "operator", "", events.Whole, "", "operator", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := projections.State{Owner: c.owner, Enrolled: c.enrolled}
			check := func(verbs []commands.Verb, who string) {
				for name, a := range actors {
					for _, v := range verbs {
						if got := commands.Allowed(s, c.intercom, a, v); got != (name == who) {
							t.Errorf("%s may %s: %v", name, v, got)
						}
					}
				}
			}
			check(ofPeople, c.person)
			check(ofTheWhole, c.whole)
			check(ofKeypads, c.keypad)
			check([]commands.Verb{"", "nonsense", "SETTINGS", "expire", "Use"}, "")
		})
	}
}

var (
	ofPeople = []commands.Verb{commands.Settings, commands.Configure, commands.IssueVerb, commands.List, commands.Show, commands.Revoke,
		commands.Enroll, commands.Unenroll}
	ofTheWhole = []commands.Verb{commands.Audit, commands.Replay, commands.Verify}
	ofKeypads  = []commands.Verb{commands.Use, commands.Fail, commands.Sync, commands.Receipt}
)

// Each verb is of one kind, and a word that is no verb of none.
func TestVerbsAreOfOneKind(t *testing.T) {
	for _, c := range []struct {
		verbs                   []commands.Verb
		intercom, whole, keypad bool
	}{
		{ofPeople, true, false, false}, {ofTheWhole, false, true, false}, {ofKeypads, false, false, true},
		{[]commands.Verb{"", "nonsense", "expire"}, false, false, false},
	} {
		for _, v := range c.verbs {
			if v.OnIntercom() != c.intercom || v.OnWhole() != c.whole || v.AtKeypad() != c.keypad {
				t.Errorf("%q is of another kind", v)
			}
		}
	}
}

// An intercom whose enrolment was ended does nothing for itself any more.
func TestKeypadNeedsAnEnrolment(t *testing.T) {
	key := publicKey(t)
	north := events.Actor{Kind: events.IntercomActor, ID: "north"}
	for name, c := range map[string]struct {
		given []step
		want  bool
	}{
		"never enrolled": {[]step{configured}, false},
		"enrolled":       {[]step{configured, {0, enroll(key)}}, true},
		"unenrolled":     {[]step{configured, {0, enroll(key)}, {0, unenroll}}, false},
		"enrolled again": {[]step{configured, {0, enroll(key)}, {0, unenroll}, {0, enroll(publicKey(t))}}, true},
	} {
		state := given(t, c.given...)
		for _, v := range ofKeypads {
			if got := commands.Allowed(state, "north", north, v); got != c.want {
				t.Errorf("%s: %s %v", name, v, got)
			}
		}
	}
}

func TestAdmit(t *testing.T) {
	ada := events.Actor{Kind: events.PersonActor, ID: "ada"}
	owned := projections.State{Owner: "person:ada"}
	for _, c := range []struct {
		name  string
		actor events.Actor
		clock bool
		want  commands.Code
	}{
		{"owner", ada, false, ""},
		{"operator on another's", events.Operator, false, "not_allowed"},
		{"the intercom itself", events.Actor{Kind: events.IntercomActor, ID: "north"}, false, "not_allowed"},
		{"clock", events.Actor{}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := commands.Meta{Intercom: "north", Actor: c.actor, Clock: c.clock}
			if got := word(commands.Admit(owned, m, commands.Revoke)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDecidable(t *testing.T) {
	m := commands.Meta{Intercom: "north"}
	if err := commands.Decidable(projections.State{}, m); err != nil {
		t.Error(err)
	}
	if got := word(commands.Decidable(projections.State{Stopped: "revision 7, version 1, type blessed"}, m)); got != commands.Unavailable {
		t.Errorf("got %q", got)
	}
}
