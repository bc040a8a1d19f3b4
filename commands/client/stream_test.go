package client_test

import (
	"encoding/json"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"

	"github.com/nats-io/nats.go"
)

func replayed(ids ...string) (items []commands.ReplayedItem) {
	for _, id := range ids {
		items = append(items, commands.ReplayedItem{Intercom: id})
	}
	return items
}

func TestReplayComesInSeveralAnswers(t *testing.T) {
	s := newStandIn(t)
	s.says(
		answer(t, commands.ReplayAnswer{Sequence: 7, Intercoms: replayed("a", "b"), More: true}),
		answer(t, commands.ReplayAnswer{Sequence: 7, Intercoms: replayed("c")}),
	)
	c := s.dial()
	var got []string
	for a, err := range c.Replay(t.Context(), commands.ReplayRequest{Sequence: 7}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range a.Intercoms {
			got = append(got, item.Intercom)
		}
	}
	if asJSON(got) != `["a","b","c"]` {
		t.Errorf("got %v", got)
	}
	if m := <-s.heard; m.Subject != "cmd._.replay.p-operator" {
		t.Errorf("asked on %s", m.Subject)
	}
	for range c.Replay(t.Context(), commands.ReplayRequest{Sequence: 7}) {
		break // and nothing is left behind
	}
}

func TestAReadingThatFallsSilentEnds(t *testing.T) {
	s := newStandIn(t)
	s.says(answer(t, commands.VerifyAnswer{Events: 5, Of: 10, More: true}))
	var done, of uint64
	_, err := s.dial(client.Timeout(100*time.Millisecond)).Verify(t.Context(), func(d, o uint64) { done, of = d, o })
	wantRefusal(t, err, commands.Unavailable, "did not answer in time")
	if done != 5 || of != 10 {
		t.Errorf("progress was %d of %d", done, of)
	}
}

func TestVerifyEndsWithTheLastAnswer(t *testing.T) {
	s := newStandIn(t)
	s.says(
		answer(t, commands.VerifyAnswer{Events: 5, Of: 10, More: true}),
		answer(t, commands.VerifyAnswer{OK: true, Events: 10, Message: "well"}),
	)
	a, err := s.dial().Verify(t.Context(), nil)
	if err != nil || !a.OK || a.Events != 10 || a.Of != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestAReadingIsRefusedOrUnheard(t *testing.T) {
	s := newStandIn(t)
	c := s.dial()
	_, err := c.Verify(t.Context(), nil)
	wantRefusal(t, err, commands.Unavailable, "no ledger is answering")
	s.says(refusal(t, commands.Refuse(commands.NotAllowed, "", "no")))
	_, err = c.Verify(t.Context(), nil)
	wantRefusal(t, err, commands.NotAllowed, "no")
}

func TestAuditGoesOnToTheLastPage(t *testing.T) {
	s := newStandIn(t)
	s.pages(
		commands.AuditAnswer{Events: []commands.AuditItem{{Sequence: 1}, {Sequence: 2}}, Next: 2, Upto: 3},
		commands.AuditAnswer{Events: []commands.AuditItem{{Sequence: 3}}, Upto: 3},
	)
	var got []uint64
	for item, err := range s.dial().Audit(t.Context(), commands.AuditRequest{Intercom: "front-gate"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Sequence)
	}
	if asJSON(got) != "[1,2,3]" {
		t.Errorf("got %v", got)
	}
	<-s.heard
	var second commands.AuditRequest
	if err := json.Unmarshal((<-s.heard).Data, &second); err != nil {
		t.Fatal(err)
	}
	if second.After != 2 || second.Upto != 3 || second.Intercom != "front-gate" {
		t.Errorf("the second page was asked for with %+v", second)
	}
}

// pages answers each request with the next page.
func (s standIn) pages(pages ...commands.AuditAnswer) {
	s.t.Helper()
	nc, err := s.Answers()
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	_, err = nc.Subscribe("cmd._.audit.*", func(m *nats.Msg) {
		s.heard <- m
		if err := m.RespondMsg(answer(s.t, pages[n])); err != nil {
			s.t.Errorf("answer: %v", err)
		}
		n++
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		s.t.Fatal(err)
	}
}
