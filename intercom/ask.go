package intercom

import (
	"context"
	"errors"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/intercom/gate"
	"gatebook/intercom/journal"
	"gatebook/projections"
)

// freshFor is how long after the asking an answer may open (law 2).
const freshFor = 2 * time.Second

// ask lets the ledger decide, and opens if it says so. Each return leaves the
// attempt settled, or on disk and among the debts.
func (i *Intercom) ask(ctx context.Context, m matched, in input, known judgement) Decision {
	a, err := i.keepAttempt(known.direction)
	if err != nil {
		// Nothing was sent, so nothing is owed.
		i.log.Error("an attempt could not be kept; it is not asked for", "error", err)
		return reject(projections.CutOff, known)
	}
	// Killed from here on: the next process finds the attempt at Asked, knows
	// that no gate was told, and reports that.
	asked := i.boot()
	var answer commands.UseAnswer
	err = i.askUse(ctx, commands.UseRequest{Command: a.Command, Match: m.String(), Direction: string(in.direction)}, &answer)
	switch {
	case err != nil && undone(err):
		i.settle(a.Command)
		return reject(reasonOf(err), known)
	case err != nil:
		i.log.Info("a use was not answered", "attempt", a.Command, "error", err)
		i.owe(a)
		i.wantSettle.ring() // the line is bad as it is: the guest does not wait for it again
		return reject(projections.CutOff, known)
	}
	i.memory.hear(answer.Revision)
	switch {
	case answer.Decision == rejectWord && answer.Reason != "":
		i.settle(a.Command)
		return rejected(answer, answer.Reason)
	case !sound(answer, in):
		i.log.Error("the ledger's answer to a use is not one to open by", "attempt", a.Command)
		i.report(ctx, a)
		return reject(projections.CutOff, known)
	case i.stale(asked):
		i.log.Info("an opening answer came too late", "attempt", a.Command)
		i.report(ctx, a)
		return reject(projections.CutOff, known)
	}
	return i.open(ctx, a, asked, answer)
}

// keepAttempt puts an attempt on disk under a command id of its own.
func (i *Intercom) keepAttempt(d projections.Direction) (journal.Attempt, error) {
	id, err := i.newCommand()
	if err != nil {
		return journal.Attempt{}, err
	}
	if d == "" {
		d = projections.Entry // what bare digits mean, as far as is known here
	}
	a := journal.Attempt{Command: id, Direction: string(d), AskedAt: i.wall().UTC(), Step: journal.Asked}
	return a, i.journal.Ask(a)
}

func (i *Intercom) askUse(ctx context.Context, r commands.UseRequest, answer *commands.UseAnswer) error {
	ctx, cancel := context.WithTimeout(ctx, freshFor)
	defer cancel()
	return i.line.request(ctx, commands.Use, r, answer)
}

// stale: an answer is thrown away once it is as old as a revoke may be new.
func (i *Intercom) stale(asked time.Duration) bool { return i.boot()-asked >= freshFor }

// sound: the last look at an opening answer before a gate is told.
func sound(a commands.UseAnswer, in input) bool {
	way := a.Direction == projections.Entry || a.Direction == projections.Exit
	return a.Decision == openWord && way && (in.direction == "" || in.direction == a.Direction) &&
		events.ValidID(a.Device) && events.ValidULID(a.CodeID) && events.ValidULID(a.Use)
}

// reasonOf is what a guest is told of a use that the ledger did not take.
func reasonOf(err error) projections.Reason {
	var refused *commands.Refusal
	if errors.As(err, &refused) && refused.Code == commands.NotConfigured {
		return projections.NotConfigured
	}
	return projections.CutOff
}

// open tells the gate. The entered or exited event is durable; what is decided
// here is only whether the answer is still good.
func (i *Intercom) open(ctx context.Context, a journal.Attempt, asked time.Duration, answer commands.UseAnswer) Decision {
	if err := i.journal.Opening(a.Command, answer.Use, answer.CodeID, answer.Device); err != nil {
		i.log.Error("an opening could not be kept; the gate is not told", "error", err)
		i.report(ctx, a)
		return rejected(answer, projections.CutOff)
	}
	a.Step = journal.Opening
	// Killed from here on: the next process finds the attempt at Opening, cannot
	// know whether the gate opened, and reports a time-out.
	switch {
	case i.memory.table.Load().forbids(answer):
		return i.withhold(ctx, a, projections.IsRevoked, answer)
	case i.stale(asked): // the disk may have been slow: look again, last of all
		return i.withhold(ctx, a, projections.CutOff, answer)
	}
	// A gate that is being told is waited for, whoever wants to stop.
	outcome := i.gates.Open(context.WithoutCancel(ctx), gate.Order{
		Device: answer.Device, Direction: string(answer.Direction), Attempt: a.Command,
	})
	if outcome == gate.Done {
		i.settle(a.Command)
	} else {
		i.tell(ctx, a, string(outcome))
	}
	return opened(answer, outcome)
}

// withhold ends an attempt whose use the ledger has recorded and whose gate is
// not told after all.
func (i *Intercom) withhold(ctx context.Context, a journal.Attempt, r projections.Reason, answer commands.UseAnswer) Decision {
	i.log.Info("an opening answer was thrown away", "attempt", a.Command, "reason", r)
	i.tell(ctx, a, events.GateFailed)
	return rejected(answer, r)
}

// tell keeps how the gate answered and reports it.
func (i *Intercom) tell(ctx context.Context, a journal.Attempt, outcome string) {
	if err := i.journal.Told(a.Command, outcome); err != nil {
		// The next process would report a time-out, which is never wrong.
		i.log.Error("the gate's answer could not be kept", "error", err)
	}
	a.Step, a.Gate = journal.Told, outcome
	i.report(ctx, a)
}

// report says how an attempt ended, and waits for that: a guest whom the gate
// failed tries again within seconds, and should find the code given back.
func (i *Intercom) report(ctx context.Context, a journal.Attempt) {
	if one, ok := i.owe(a); ok {
		i.pay(context.WithoutCancel(ctx), one)
	}
}
