package robust

import (
	"errors"
	"slices"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

// fact is what the ledger draws for an event by itself and the deciders are
// given: no rule depends on it but through what it says.
type fact struct {
	id   string // of the event
	code string // of a new code
	at   time.Time
}

// outcome is what the deciders make of an operation on a state: an event, or
// none with a verdict, or a refusal.
type outcome struct {
	event   events.Event
	verdict projections.Verdict
	refusal *commands.Refusal
	// unrecorded is a report on a use that was never recorded.
	unrecorded bool
}

// decide asks the project's deciders. use finds the event of an earlier command.
func decide(st projections.State, op *Op, f fact, use func(command string) (events.Stored, bool)) (outcome, error) {
	m := commands.Meta{
		Intercom: op.Intercom, Actor: op.Actor, Via: events.ViaCLI, Command: op.Command, EventID: f.id,
	}
	if op.Actor.Kind == events.IntercomActor {
		m.Via = events.ViaKeypad
	}
	var o outcome
	err := errors.Join(commands.Admit(st, m, op.Verb), commands.Decidable(st, m))
	if err == nil {
		switch op.Verb {
		case commands.Configure:
			o.event, err = commands.DecideConfigure(st, m, op.Settings)
		case commands.Enroll:
			o.event, err = commands.DecideEnroll(st, m, op.PublicKey)
		case commands.IssueVerb:
			o.event, err = commands.DecideIssue(st, m, commands.IssueRequest{}, commands.NewCode{ID: f.code}, f.at)
		case commands.Revoke:
			o.event, err = commands.DecideRevoke(st, m, op.Code, f.at)
		case commands.Use:
			o.event, o.verdict, err = commands.DecideUse(st, m, op.Code, op.Direction, f.at)
		case commands.Fail:
			if e, ok := use(op.UseCommand); ok {
				o.event, err = commands.DecideFailed(st, m, codeOf(e.Event), e.ID, op.Gate, f.at)
			} else {
				o.unrecorded = true
			}
		default: // a reading
		}
	}
	if err != nil && !errors.As(err, &o.refusal) {
		return o, err
	}
	return o, nil
}

// codeOf reads the code id that an event's data names, if it names one.
func codeOf(e events.Event) string {
	switch e.Type {
	case events.Issued:
		return unpacked[events.IssuedData](e).CodeID
	case events.Entered, events.Exited:
		return unpacked[events.UsedData](e).CodeID
	case events.Revoked, events.Expired:
		return unpacked[events.EndedData](e).CodeID
	case events.Failed:
		return unpacked[events.FailedData](e).CodeID
	}
	return ""
}

func unpacked[T any](e events.Event) T {
	var d T
	_ = e.Unpack(&d) // the fold has read it; else it is no code's
	return d
}

// lists reports whether a list is of the codes that live in a state.
func lists(st projections.State, a *commands.ListAnswer, now time.Time) bool {
	if st.Settings == nil || a.Limit != st.Settings.Limit {
		return false
	}
	return slices.EqualFunc(st.Live(now), a.Codes, func(c projections.Code, item commands.ListItem) bool {
		return c.ID == item.ID && c.Status(now) == item.State && (item.EnteredAt != nil) == !c.EnteredAt.IsZero()
	})
}

// says reports whether an answer to a use is that verdict on its code. A code
// is named only where the digits are somebody's.
func says(a *commands.UseAnswer, v projections.Verdict, code string) bool {
	if v.Reason == projections.Unknown || v.Reason == projections.NotConfigured {
		code = a.CodeID
	}
	if v.Reason != "" {
		return a.Decision == "reject" && a.Reason == v.Reason && a.CodeID == code
	}
	return a.Decision == "open" && a.Direction == v.Direction && a.Device == v.Device && a.CodeID == code
}

// refuses reports whether an answer is that refusal.
func (r *Refusal) refuses(as *commands.Refusal) bool {
	if as == nil || r.Code != as.Code {
		return false
	}
	d, ok := as.Details.(map[string]any)
	if !ok {
		return true
	}
	revision, named := d["revision"].(uint64)
	return !named || revision == r.Revision
}
