package intercom

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"gatebook/commands"
	"gatebook/projections"
)

func TestReadAnswer(t *testing.T) {
	refusal := func(header, body string) *nats.Msg {
		m := nats.NewMsg("in")
		m.Header.Set(errorCode, header)
		m.Data = []byte(body)
		return m
	}
	var got commands.ReceiptAnswer
	for name, tt := range map[string]struct {
		msg    *nats.Msg
		want   commands.Code
		undone bool
	}{
		"a refusal":                {refusal("conflict", `{"error":{"code":"conflict","message":"m"}}`), commands.Conflict, true},
		"a refusal without a body": {refusal("bad_request", ""), commands.BadRequest, true},
		"unavailable":              {refusal("unavailable", `{"error":{"code":"unavailable"}}`), commands.Unavailable, false},
	} {
		err := readAnswer(tt.msg, &got)
		var r *commands.Refusal
		if !errors.As(err, &r) || r.Code != tt.want || undone(err) != tt.undone {
			t.Errorf("%s: %v, undone %v", name, err, undone(err))
		}
	}
	if err := readAnswer(&nats.Msg{Data: []byte("{")}, &got); err == nil || undone(err) {
		t.Errorf("half an answer: %v", err)
	}
}

func TestUndone(t *testing.T) {
	for err, want := range map[error]bool{
		errCut: true, errNobody: true, nats.ErrTimeout: false, nats.ErrConnectionClosed: false,
		asked(commands.Use, nats.ErrNoResponders): true, asked(commands.Use, nats.ErrReconnectBufExceeded): true,
		fmt.Errorf("ask: %w", commands.Refuse(commands.NotConfigured, "", "m")): true,
	} {
		if undone(err) != want {
			t.Errorf("%v: undone is %v", err, !want)
		}
	}
}

func TestAddPart(t *testing.T) {
	part := func(a commands.SyncAnswer) *nats.Msg {
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return &nats.Msg{Data: raw}
	}
	state := projections.State{Intercom: "gate"}
	var whole commands.SyncAnswer
	for _, a := range []commands.SyncAnswer{
		{Revision: 2, Hash: "h", State: &state, Match: map[string]string{"a": "1"}, More: true},
		{Revision: 2, Hash: "h", Match: map[string]string{"b": "2"}, More: true},
		{Revision: 2, Hash: "h", Diverged: true},
	} {
		if more, err := addPart(&whole, part(a)); err != nil || more != a.More {
			t.Fatalf("more %v, %v", more, err)
		}
	}
	if whole.State == nil || len(whole.Match) != 2 || !whole.Diverged {
		t.Errorf("the whole is %+v", whole)
	}
	if _, err := addPart(&whole, part(commands.SyncAnswer{Revision: 3, Hash: "g"})); err == nil {
		t.Error("parts of two revisions were put together")
	}
}
