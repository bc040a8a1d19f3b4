package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/robust"
	"gatebook/ops/testkit"
)

const (
	// repeated is how many accepted commands are sent again after a cut.
	repeated = 60
	// lookedAt is how many receipts and shown codes are asked for again.
	lookedAt = 40
)

// after looks at the ledger that opened, as its people do: what is open is sent
// again and comes to an end, what was told is there.
func (w *world) after(gates []*gate) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	testkit.Eventually(w.t, askWithin, func() error { // the clients come back by themselves
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return w.people.Do(short, gates[0].id, commands.Settings, struct{}{}, nil)
	})
	done := w.takeDone() // by the load; what comes now is sent again by nobody
	open := w.takeOpen()
	for _, s := range open {
		if answer := w.untilAnswered(ctx, s); answer == nil {
			w.t.Fatalf("a command that was open at the cut is not answered after: %s", s.ask.Command)
		}
	}
	w.sameAgain(ctx, done)
	w.compareAudit(ctx, gates)
	w.receiptsAgain(ctx, gates)
	a, err := w.people.Verify(ctx, nil)
	if err != nil || !a.OK {
		w.t.Errorf("verify after the cut: %+v, %v", a, err)
	}
	w.takeDone()
}

// untilAnswered sends a command again until the ledger has decided it.
func (w *world) untilAnswered(ctx context.Context, s sent) *robust.Answer {
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, askWithin)
		answer := s.again(short)
		cancel()
		if answer != nil && (answer.Refusal == nil || answer.Refusal.Code != commands.Unavailable) {
			return answer
		}
	}
	return nil
}

// sameAgain sends accepted commands again: the first answers were told, so they
// are the only ones there are.
func (w *world) sameAgain(ctx context.Context, done []sent) {
	w.t.Helper()
	for _, s := range done[max(0, len(done)-repeated):] { // the newest are the ones in danger
		again := w.untilAnswered(ctx, s)
		if again == nil {
			w.t.Fatalf("command %s is not answered again", s.ask.Command)
		}
		if err := sameAnswer(s.answer, again); err != nil {
			w.t.Errorf("LOST: %s %s of %s: %v", s.ask.Verb, s.ask.Command, s.ask.Intercom, err)
		}
	}
}

func sameAnswer(first, again *robust.Answer) error {
	if again.Refusal != nil {
		return fmt.Errorf("it was accepted, and is now refused as %s", again.Refusal.Code)
	}
	switch {
	case first.Issued != nil:
		a, b := first.Issued, again.Issued
		if a.ID != b.ID || a.Revision != b.Revision || !a.IssuedAt.Equal(b.IssuedAt) || b.Recipient == nil || *a.Recipient != *b.Recipient {
			return errors.New("another code was given out for it")
		}
		if a.Code != nil && b.Code != nil && *a.Code != *b.Code {
			return errors.New("the code has other digits")
		}
	case first.Revoked != nil:
		a, b := first.Revoked, again.Revoked
		if a.Revision != b.Revision || !a.RevokedAt.Equal(b.RevokedAt) {
			return errors.New("it was revoked at another time")
		}
	}
	return nil // package robust judges a use
}

// compareAudit looks for each told revision of the round in the history that
// auditors are given.
func (w *world) compareAudit(ctx context.Context, gates []*gate) {
	w.t.Helper()
	for _, g := range gates {
		items := []commands.AuditItem{}
		for item, err := range w.people.Audit(ctx, commands.AuditRequest{Intercom: g.id}) {
			if err != nil {
				w.t.Fatalf("audit of %s: %v", g.id, err)
			}
			items = append(items, item)
		}
		for i, item := range items {
			if item.Revision != uint64(i+1) {
				w.t.Fatalf("LOST: %s has revision %d in place of %d", g.id, item.Revision, i+1)
			}
		}
		for _, op := range w.h.Ops() {
			if op.Intercom == g.id && op.Done() {
				if err := stands(items, op); err != nil {
					w.t.Errorf("LOST: %s: %v", op, err)
				}
			}
		}
	}
}

// stands: the event that an answer rests on is there.
func stands(items []commands.AuditItem, op *robust.Op) error {
	var revision uint64
	var want events.Type
	switch a := op.Answer; {
	case a.Configured != nil:
		revision, want = a.Configured.Revision, events.Configured
	case a.Enrolled != nil:
		revision, want = a.Enrolled.Revision, events.Enrolled
	case a.Issued != nil:
		revision, want = a.Issued.Revision, events.Issued
	case a.Revoked != nil:
		revision, want = a.Revoked.Revision, events.Revoked
	case a.Listed != nil:
		revision = a.Listed.Revision
	case a.Used != nil:
		revision = a.Used.Revision
		if a.Used.Use != "" && !slices.ContainsFunc(items, func(i commands.AuditItem) bool { return i.ID == a.Used.Use }) {
			return errors.New("the event that the gate opened for is not in the history")
		}
	}
	switch {
	case revision > uint64(len(items)):
		return fmt.Errorf("it rests on revision %d, and the history ends at %d", revision, len(items))
	case want != "" && items[revision-1].Type != want:
		return fmt.Errorf("revision %d is %s", revision, items[revision-1].Type)
	}
	return nil
}

// receiptsAgain asks for the times that intercoms and people were told.
func (w *world) receiptsAgain(ctx context.Context, gates []*gate) {
	w.t.Helper()
	byID := map[string]*gate{}
	for _, g := range gates {
		byID[g.id] = g
	}
	n := 0
	for at, was := range w.told.receipts {
		g := byID[at.intercom]
		if g == nil || n >= lookedAt {
			continue
		}
		n++
		var a commands.ReceiptAnswer
		testkit.Eventually(w.t, askWithin, func() error {
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return g.keypad.ask(short, commands.Receipt, commands.ReceiptRequest{Revision: at.revision, Hash: was.hash}, &a)
		})
		if !a.At.Equal(was.at) {
			w.t.Errorf("LOST: the receipt for revision %d of %s was taken at %v, and is now of %v", at.revision, at.intercom, was.at, a.At)
		}
	}
	n = 0
	for c, at := range w.told.times {
		if byID[c.intercom] == nil || n >= lookedAt {
			continue
		}
		n++
		var a commands.ShowAnswer
		if err := w.people.Do(ctx, c.intercom, commands.Show, commands.CodeRequest{ID: c.id}, &a); err != nil {
			w.t.Errorf("LOST: code %s of %s is not shown: %v", c.id, c.intercom, err)
		} else if a.AppliedAt == nil || !a.AppliedAt.Equal(at) {
			w.t.Errorf("LOST: code %s of %s was applied at %v, and is now shown as applied at %v", c.id, c.intercom, at, a.AppliedAt)
		}
	}
}

// judge reads each stored event of a stopped server's folder and holds all that
// was ever told against them.
func (w *world) judge(dir string) {
	w.t.Helper()
	l := stored(w.t, dir)
	ops := w.h.Ops()
	wrong := append(robust.Folds(l, ops), robust.InTime(l, ops)...)
	wrong = append(wrong, w.told.against(l)...)
	for i, err := range wrong {
		if i == 20 {
			w.t.Errorf("and %d more", len(wrong)-i)
			break
		}
		w.t.Error(err)
	}
	n := 0
	for _, t := range l {
		n += len(t.Events)
	}
	w.t.Logf("%d events of %d intercoms: %d commands accepted once, %d refusals, %d reads and receipts, %d operations in all; %d shows, %d receipts, %d applied times",
		n, len(l), w.accepted.Load(), w.refused.Load(), w.read.Load(), len(ops), len(w.told.shows), len(w.told.receipts), len(w.told.times))
}

func stored(t testing.TB, dir string) robust.Ledger {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nc, err := testkit.StartNode(t, dir).Ledger()
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(ctx, nc, ledger.Config{Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	upto, err := log.LastSequence(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := robust.Ledger{}
	err = log.Read(ctx, ledger.Range{From: 1, Upto: upto}, func(e events.Stored) error {
		if err := l.Take(e); err != nil {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
