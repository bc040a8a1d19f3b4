package client_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"
)

const commandID = "01JZZZZZZZZZZZZZZZZZZZZZZZ"

func TestDoAsksAsThePersonAndReadsTheAnswer(t *testing.T) {
	s := newStandIn(t)
	s.says(answer(t, commands.ListAnswer{Codes: []commands.ListItem{}, Limit: 10, Revision: 3}))
	var got commands.ListAnswer
	if err := s.dial().Do(within(t, 5*time.Second), "front-gate", commands.List, struct{}{}, &got); err != nil {
		t.Fatal(err)
	}
	if got.Limit != 10 || got.Revision != 3 {
		t.Errorf("got %+v", got)
	}
	m := <-s.heard
	if m.Subject != "cmd.front-gate.list.p-operator" || !strings.HasPrefix(m.Reply, "_in.p-operator.") {
		t.Errorf("asked on %s for an answer on %s", m.Subject, m.Reply)
	}
}

func TestARefusalComesWithItsDetails(t *testing.T) {
	s := newStandIn(t)
	want := commands.Refuse(commands.LimitReached, "revoke one", "all are taken")
	want.Details = map[string]any{"limit": 10}
	s.says(refusal(t, want))
	err := s.dial().Do(within(t, 5*time.Second), "front-gate", commands.IssueVerb, commands.IssueRequest{Command: commandID}, nil)
	r := wantRefusal(t, err, commands.LimitReached, "all are taken")
	if r.Next != "revoke one" || asJSON(r.Details) != `{"limit":10}` {
		t.Errorf("got next %q and details %s", r.Next, asJSON(r.Details))
	}
	if client.IsUnknown(err) {
		t.Error("the outcome is known")
	}
}

func TestTheLedgersOwnUnknownIsUnknown(t *testing.T) {
	s := newStandIn(t)
	said := commands.Refuse(commands.Unavailable, "repeat", "cannot tell yet")
	said.Details = client.Outcome{Outcome: "unknown", Command: commandID}
	s.says(refusal(t, said))
	err := s.dial().Do(within(t, 5*time.Second), "front-gate", commands.Revoke, commands.RevokeRequest{Command: commandID}, nil)
	if !client.IsUnknown(err) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := newStandIn(t).dial()
	err := c.Do(within(t, 5*time.Second), "front-gate", commands.IssueVerb, commands.IssueRequest{Command: commandID}, nil)
	r := wantRefusal(t, err, commands.Unavailable, "no ledger is answering")
	if r.Details != nil {
		t.Errorf("nothing can have been stored, and the details are %v", r.Details)
	}
}

func TestSilenceLeavesACommandUnknown(t *testing.T) {
	s := newStandIn(t)
	s.says()
	c := s.dial()
	err := c.Do(within(t, 50*time.Millisecond), "front-gate", commands.IssueVerb, commands.IssueRequest{Command: commandID}, nil)
	r := wantRefusal(t, err, commands.Unavailable, "did not answer in time")
	if !client.IsUnknown(err) || !strings.Contains(r.Next, "--command-id "+commandID) {
		t.Errorf("got next %q and details %v", r.Next, r.Details)
	}
	err = c.Do(within(t, 50*time.Millisecond), "front-gate", commands.List, struct{}{}, nil)
	wantRefusal(t, err, commands.Unavailable, "did not answer in time")
	if client.IsUnknown(err) {
		t.Error("a list stores nothing, so nothing is unknown")
	}
}

func TestAnInterruptLeavesACommandUnknown(t *testing.T) {
	s := newStandIn(t)
	s.says()
	c := s.dial()
	ctx, cancel := context.WithCancel(within(t, time.Minute))
	go func() {
		<-s.heard
		cancel()
	}()
	err := c.Do(ctx, "front-gate", commands.Revoke, commands.RevokeRequest{Command: commandID}, nil)
	wantRefusal(t, err, commands.Unavailable, "interrupted")
	if !client.IsUnknown(err) {
		t.Error("it was on its way, so its outcome is unknown")
	}
}

func TestAServerThatDeniesSaysSo(t *testing.T) {
	s := newStandIn(t)
	s.says()
	c := s.dial()
	client.Pretend(c, "mallory")
	began := time.Now()
	err := c.Do(within(t, time.Minute), "front-gate", commands.IssueVerb, commands.IssueRequest{Command: commandID}, nil)
	wantRefusal(t, err, commands.NotAllowed, "does not let person:mallory ask")
	if client.IsUnknown(err) || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestEndedCredentialsLeaveACommandUnknown(t *testing.T) {
	s := newStandIn(t)
	s.says()
	creds := s.creds("operator")
	c, err := client.Dial(s.URL(), creds)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		<-s.heard
		if err := s.revoke(creds); err != nil {
			t.Errorf("revoke: %v", err)
		}
	}()
	err = c.Do(within(t, time.Minute), "front-gate", commands.Revoke, commands.RevokeRequest{Command: commandID}, nil)
	wantRefusal(t, err, commands.Unavailable, "does not accept these credentials")
	if !client.IsUnknown(err) {
		t.Error("it was on its way, so its outcome is unknown")
	}
	err = c.Do(within(t, time.Minute), "front-gate", commands.List, struct{}{}, nil)
	wantRefusal(t, err, commands.NotAllowed, "does not accept these credentials")
}

func TestBadNamesAreRefusedBeforeAsking(t *testing.T) {
	c := newStandIn(t).dial()
	for _, id := range []string{"", "Front", "front gate", "a.b", "_", "*", ">", "-a", strings.Repeat("a", 64)} {
		err := c.Do(within(t, time.Second), id, commands.List, struct{}{}, nil)
		wantRefusal(t, err, commands.BadRequest, "is not the id of an intercom")
	}
	for _, id := range []string{"", "1234", strings.ToLower(commandID), commandID + "0"} {
		wantRefusal(t, client.CheckCode(id), commands.BadRequest, "is not the id of a code")
	}
}
