package events_test

import (
	"errors"
	"strings"
	"testing"

	"gatebook/events"

	"pgregory.net/rapid"
)

const idGrammar = `[a-z0-9][a-z0-9-]{0,62}`

func TestValidID(t *testing.T) {
	long := strings.Repeat("a", 63)
	for id, want := range map[string]bool{
		"a": true, "0": true, "north": true, "north-2": true, "a-": true, "0--0": true, long: true,
		"": false, "-": false, "-a": false, "A": false, "north_2": false, "_": false, "a.b": false, "a b": false,
		"*": false, ">": false, "a>": false, "ä": false, "a\n": false, "\na": false, "a\x00": false, long + "a": false,
		"٣": false, "a\ufeff": false, "a/b": false, "..": false,
	} {
		if got := events.ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}

func TestValidULID(t *testing.T) {
	for id, want := range map[string]bool{
		"01KJM6JM3V0009WDVSQ5ZMMZ0N": true, "00000000000000000000000000": true, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ": true,
		"": false, "01kjm6jm3v0009wdvsq5zmmz0n": false, "01KJM6JM3V0009WDVSQ5ZMMZ0n": false,
		"8ZZZZZZZZZZZZZZZZZZZZZZZZZ": false, "01KJM6JM3V0009WDVSQ5ZMMZ0": false, "01KJM6JM3V0009WDVSQ5ZMMZ0NN": false,
		"O1KJM6JM3V0009WDVSQ5ZMMZ0N": false, "I1KJM6JM3V0009WDVSQ5ZMMZ0N": false, "01KJM6JM3V0009WDVSQ5ZMMZ0\n": false,
	} {
		if got := events.ValidULID(id); got != want {
			t.Errorf("ValidULID(%q) = %v", id, got)
		}
	}
}

func TestValidByAndVia(t *testing.T) {
	for by, want := range map[string]bool{
		"clock": true, "operator": true, "person:ada": true, "intercom:north-2": true,
		"": false, "Clock": false, "person": false, "person:": false, ":ada": false, "person:Ada": false, "person:a:b": false,
		"robot:ada": false, "ada": false, "p-ada": false, "operator:ada": false, "person: ada": false, "clock ": false, "person:ada\n": false,
	} {
		if got := events.ValidBy(by); got != want {
			t.Errorf("ValidBy(%q) = %v", by, got)
		}
	}
	for via, want := range map[string]bool{
		"app": true, "cli": true, "api": true, "keypad": true, "timer": true, "": false, "APP": false, "telepathy": false, "app ": false,
	} {
		if got := events.ValidVia(via); got != want {
			t.Errorf("ValidVia(%q) = %v", via, got)
		}
	}
}

func TestSubjects(t *testing.T) {
	key := "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	for got, want := range map[string]string{
		events.Subject("north", events.Revoked):                     "ledger.north.revoked",
		events.Fence("north"):                                       "ledger.north.>",
		events.Live("north"):                                        "live.north.>",
		events.Request("north", "issue", events.Operator):           "cmd.north.issue.p-operator",
		events.Request(events.Whole, "audit", events.Operator):      "cmd._.audit.p-operator",
		events.PersonInbox("ada"):                                   "_in.p-ada",
		events.IntercomInbox("north", key):                          "_in.i-north." + key,
		events.Operator.By():                                        "operator",
		(events.Actor{Kind: events.PersonActor, ID: "ada"}).By():    "person:ada",
		(events.Actor{Kind: events.IntercomActor, ID: "n"}).By():    "intercom:n",
		(events.Actor{Kind: 'i', ID: "operator"}).By():              "intercom:operator",
		(events.Actor{Kind: events.PersonActor, ID: "a"}).Token():   "p-a",
		(events.Actor{Kind: events.IntercomActor, ID: "n"}).Token(): "i-n",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if events.ValidID(events.Whole) {
		t.Error("the word for the whole ledger is an intercom id")
	}
}

func TestParseActor(t *testing.T) {
	for token, want := range map[string]events.Actor{
		"p-operator": events.Operator,
		"p-a":        {Kind: events.PersonActor, ID: "a"},
		"i-north-2":  {Kind: events.IntercomActor, ID: "north-2"},
		"i-p-a":      {Kind: events.IntercomActor, ID: "p-a"},
	} {
		if got, err := events.ParseActor(token); err != nil || got != want {
			t.Errorf("ParseActor(%q) = %v, %v", token, got, err)
		}
	}
	for _, token := range []string{
		"", "p", "p-", "i-", "pa", "p_a", "P-a", "x-a", "-a", "p--a", "p-A", "p-a.b", "p-*", "p->", "p-a ", " p-a",
		"pp-a", "é-a", "p-" + strings.Repeat("a", 64), "p-a\n",
	} {
		if got, err := events.ParseActor(token); !errors.Is(err, events.ErrSubject) || got != (events.Actor{}) {
			t.Errorf("ParseActor(%q) = %v, %v", token, got, err)
		}
	}
}

func TestParseRequestRefuses(t *testing.T) {
	for _, subject := range []string{
		"", "cmd", "cmd.north", "cmd.north.issue", "cmd.north.issue.p-a.x", "cmd.north.issue.", "cmd..issue.p-a",
		"cmd.north..p-a", ".north.issue.p-a", "CMD.north.issue.p-a", "ledger.north.issue.p-a", "cmd.*.issue.p-a",
		"cmd.north.>.p-a", "cmd.north.*.p-a", "cmd.north.issue.*", "cmd.North.issue.p-a", "cmd.__.issue.p-a",
		"cmd.north._.p-a", "cmd.north.issue._", "cmd.north.Issue.p-a", "cmd.north.issue.p-", "cmd.north.issue.a",
		"cmd.north.issue.p-a\n", "\ncmd.north.issue.p-a", "cmd.no rth.issue.p-a", "cmd.north.issue.p-a\x00",
	} {
		i, c, a, err := events.ParseRequest(subject)
		if !errors.Is(err, events.ErrSubject) || i != "" || c != "" || a != (events.Actor{}) {
			t.Errorf("ParseRequest(%q) = %q, %q, %v, %v", subject, i, c, a, err)
		}
	}
}

func TestRequestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		intercom := rapid.OneOf(rapid.StringMatching(idGrammar), rapid.Just(events.Whole)).Draw(t, "intercom")
		command := rapid.StringMatching(`[a-z]{1,20}`).Draw(t, "command")
		actor := events.Actor{
			Kind: rapid.SampledFrom([]events.ActorKind{events.PersonActor, events.IntercomActor}).Draw(t, "kind"),
			ID:   rapid.StringMatching(idGrammar).Draw(t, "id"),
		}
		i, c, a, err := events.ParseRequest(events.Request(intercom, command, actor))
		if err != nil || i != intercom || c != command || a != actor {
			t.Fatalf("got %q %q %v %v", i, c, a, err)
		}
	})
}

// Two actors never share a token or a by: nobody can be taken for another.
func TestActorsNeverClash(t *testing.T) {
	actor := rapid.Custom(func(t *rapid.T) events.Actor {
		return events.Actor{
			Kind: rapid.SampledFrom([]events.ActorKind{events.PersonActor, events.IntercomActor}).Draw(t, "kind"),
			ID:   rapid.OneOf(rapid.StringMatching(idGrammar), rapid.Just("operator"), rapid.Just("clock")).Draw(t, "id"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := actor.Draw(t, "a"), actor.Draw(t, "b")
		if a != b && (a.Token() == b.Token() || a.By() == b.By()) {
			t.Fatalf("%v and %v are told apart by nothing", a, b)
		}
		if !events.ValidBy(a.By()) {
			t.Fatalf("%v is outside the grammar", a)
		}
		if a.By() == events.ByClock {
			t.Fatalf("%v passes for the clock", a)
		}
	})
}

func FuzzParseActor(f *testing.F) {
	for _, s := range []string{"p-operator", "i-north", "p-", "i--", "x-a", "p-a.b", "p-\xff", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		a, err := events.ParseActor(token)
		if err == nil && (a.Token() != token || strings.ContainsAny(token, ".*> \t\r\n")) {
			t.Errorf("%q was read as %v", token, a)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{"cmd.north.issue.p-operator", "cmd._.audit.p-a", "cmd.n.use.i-n", "cmd.*.>.p-a", "cmd....", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		i, c, a, err := events.ParseRequest(subject)
		if err == nil && (events.Request(i, c, a) != subject || strings.ContainsAny(subject, "*> \t\r\n")) {
			t.Errorf("%q was read as %q %q %v", subject, i, c, a)
		}
	})
}
