package robust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

// Folds compares a history with the ledger in revision order. The laws were
// looked at when the ledger was taken; here each event must be what the deciders
// make of somebody's operation on the state before it, and each answer must say
// what the events say.
func Folds(l Ledger, ops []*Op) []error {
	asked := map[string][]*Op{}
	for _, op := range ops {
		if op.Command != "" {
			asked[op.Command] = append(asked[op.Command], op)
		}
	}
	var wrong []error
	for _, intercom := range intercoms(l) {
		t := l[intercom]
		for i, e := range t.Events {
			if err := t.madeBy(i, asked[e.Command]); err != nil {
				wrong = append(wrong, fmt.Errorf("%s revision %d (%s): %w", intercom, e.Revision, e.Type, err))
			}
		}
	}
	for _, op := range ops {
		if err := answered(l, op, asked[op.Command]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", op, err))
		}
	}
	return wrong
}

func intercoms(l Ledger) []string {
	ids := make([]string, 0, len(l))
	for id := range l {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

var (
	errNobody   = errors.New("nobody asked for this event")
	errRefused  = errors.New("it was refused to all who asked for it")
	errOther    = errors.New("it is not what the deciders make of the operation")
	errLost     = errors.New("it was acknowledged and is not in the ledger")
	errKept     = errors.New("it was refused and is in the ledger")
	errDiffers  = errors.New("the answer is not what the events say")
	errRevision = errors.New("the answer names a revision that the ledger does not have")
)

// madeBy checks that one of the operations with the event's command makes
// exactly this event of the state before it.
func (t *Timeline) madeBy(i int, asked []*Op) error {
	if len(asked) == 0 {
		return errNobody
	}
	e, err := t.Events[i], errRefused
	for _, op := range asked {
		if op.Refused() {
			continue
		}
		made, wrong := t.decide(op, uint64(i), fact{id: e.ID, code: codeOf(e.Event), at: e.At})
		if wrong == nil && made.refusal == nil && made.event.Type == e.Type {
			if same(made.event.Chained(op.Intercom, t.States[i].Link, e.At), e) {
				return nil
			}
		}
		err = errOther
	}
	return err
}

// decide asks the deciders on the state after a revision.
func (t *Timeline) decide(op *Op, revision uint64, f fact) (outcome, error) {
	return decide(t.States[revision], op, f, func(command string) (events.Stored, bool) {
		i, ok := t.stored[command]
		if !ok || uint64(i) >= revision {
			return events.Stored{}, false
		}
		return t.Events[i], true
	})
}

// same compares a decided event with a stored one, byte for byte but for what is
// sealed.
func same(made events.Event, e events.Stored) bool {
	if e.Type == events.Issued {
		d := unpacked[events.IssuedData](made)
		d.Sealed = unpacked[events.IssuedData](e.Event).Sealed
		raw, err := json.Marshal(d)
		if err != nil {
			return false
		}
		made.Data = raw
	}
	raw, err := made.Encode()
	return err == nil && bytes.Equal(raw, e.Raw)
}

// answered checks what one caller was told.
func answered(l Ledger, op *Op, asked []*Op) error {
	e, kept := l.Stored(op.Intercom, op.Command)
	switch {
	case op.Answer == nil:
		return nil
	case op.Answer.Refusal != nil:
		if kept && !slices.ContainsFunc(asked, func(o *Op) bool { return !o.Refused() }) {
			return errKept
		}
		return nil // realtime.go judges the refusal itself
	case op.Answer.Listed != nil:
		st, ok := l.State(op.Intercom, op.Answer.Listed.Revision)
		return right(ok, lists(st, op.Answer.Listed, op.At) && listedTimes(st, op.Answer.Listed))
	case op.Answer.Used != nil:
		return l.used(op, e, kept, len(asked) > 1)
	case op.Answer.Failed != nil:
		return l.failed(op, e, kept)
	case !kept:
		return errLost
	}
	return right(true, acknowledged(op.Answer, e))
}

func right(there, so bool) error {
	switch {
	case !there:
		return errRevision
	case !so:
		return errDiffers
	}
	return nil
}

func listedTimes(st projections.State, a *commands.ListAnswer) bool {
	for _, item := range a.Codes {
		c, _ := st.Code(item.ID)
		if !c.IssuedAt.Equal(item.IssuedAt) || !c.ExpiresAt.Equal(item.ExpiresAt) || c.IssuedBy != item.IssuedBy {
			return false
		}
		if item.EnteredAt != nil && !item.EnteredAt.Equal(c.EnteredAt) {
			return false
		}
	}
	return true
}

// acknowledged compares an acceptance with its event.
func acknowledged(a *Answer, e events.Stored) bool {
	switch {
	case a.Configured != nil:
		return e.Type == events.Configured && a.Configured.Revision == e.Revision && a.Configured.At.Equal(e.At) &&
			a.Configured.Limit == unpacked[events.ConfiguredData](e.Event).Limit
	case a.Enrolled != nil:
		return e.Type == events.Enrolled && a.Enrolled.Revision == e.Revision && a.Enrolled.At.Equal(e.At)
	case a.Issued != nil:
		return e.Type == events.Issued && a.Issued.Revision == e.Revision && a.Issued.ID == codeOf(e.Event) &&
			a.Issued.IssuedAt.Equal(e.At) && a.Issued.ExpiresAt.Equal(unpacked[events.IssuedData](e.Event).ExpiresAt)
	case a.Revoked != nil:
		return e.Type == events.Revoked && a.Revoked.Revision == e.Revision && a.Revoked.ID == codeOf(e.Event) &&
			a.Revoked.RevokedAt.Equal(e.At)
	}
	return false
}

// used checks an answer to a use: it rests on the state that it names, and an
// open rests on the event that it names. Only where the command was sent more
// than once may that event be an older one, whichever of them came first.
func (l Ledger) used(op *Op, e events.Stored, kept, often bool) error {
	a := op.Answer.Used
	st, ok := l.State(op.Intercom, a.Revision)
	switch {
	case !ok:
		return errRevision
	case a.Decision == "open" && !kept:
		return errLost
	case a.Decision == "open" && a.Use != e.ID:
		return errDiffers
	}
	if kept && e.Revision == a.Revision {
		return right(true, says(a, opened(e), op.Code))
	}
	if kept && e.Revision < a.Revision && often {
		return right(true, says(a, commands.Again(st, e, codeOf(e.Event), op.At), codeOf(e.Event)))
	}
	o, err := l[op.Intercom].decide(op, a.Revision, fact{at: op.At})
	return right(true, err == nil && o.refusal == nil && o.event.Type == "" && says(a, o.verdict, op.Code))
}

// opened is the verdict that an entered or exited event stands for.
func opened(e events.Stored) projections.Verdict {
	v := projections.Verdict{Direction: projections.Entry, Device: unpacked[events.UsedData](e.Event).Device}
	if e.Type == events.Exited {
		v.Direction = projections.Exit
	}
	return v
}

func (l Ledger) failed(op *Op, e events.Stored, kept bool) error {
	a := op.Answer.Failed
	if _, ok := l.State(op.Intercom, a.Revision); !ok {
		return errRevision
	}
	if a.Recorded {
		if !kept {
			return errLost
		}
		return right(true, e.Type == events.Failed && a.Revision == e.Revision)
	}
	use, ok := l.Stored(op.Intercom, op.UseCommand)
	return right(true, !ok || use.Revision > a.Revision)
}
