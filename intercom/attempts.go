package intercom

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/intercom/gate"
	"gatebook/intercom/journal"
)

const (
	reportLimit = 2 * time.Second
	// lateUse is how long a use that timed out may still be on its way.
	lateUse = time.Minute
	// reportMost is how long a report that the ledger refuses is tried for.
	reportMost = 24 * time.Hour
)

// debt is an attempt that the ledger does not know the end of: a report is owed.
type debt struct {
	use     string // the attempt's command
	askedAt time.Time
	gate    string
	// report is the report's own command, the same each time: one that was taken
	// without our hearing of it is answered again, not recorded twice.
	report string
}

// debts are the attempts to report. One that a guest is waiting for is not among
// them: it comes here only when it is left unsettled, so that no report can
// overtake an opening gate.
type debts struct {
	mu   sync.Mutex
	open []debt
}

func (d *debts) add(one debt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, one)
}

func (d *debts) drop(use string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = slices.DeleteFunc(d.open, func(one debt) bool { return one.use == use })
}

func (d *debts) list() []debt {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.open)
}

// owe makes an attempt a debt: what is known of the gate by the step that the
// attempt had reached.
func (i *Intercom) owe(a journal.Attempt) (debt, bool) {
	outcome := events.GateTimeout // killed around the gate: it may have opened
	switch a.Step {
	case journal.Asked:
		outcome = events.GateFailed // it was never told
	case journal.Told:
		outcome = a.Gate
	}
	id, err := i.newCommand()
	if err != nil {
		i.log.Error("an attempt is left for the next start to report", "attempt", a.Command, "error", err)
		return debt{}, false
	}
	one := debt{use: a.Command, askedAt: a.AskedAt, gate: outcome, report: id}
	i.debts.add(one)
	return one, true
}

// loadDebts takes over what processes before this one left unsettled.
func (i *Intercom) loadDebts() error {
	left, err := i.journal.Pending()
	if errors.Is(err, journal.ErrDamaged) {
		i.log.Error("some attempts cannot be read; how they ended is not reported", "error", err)
	} else if err != nil {
		return err
	}
	for _, a := range left {
		if a.Step == journal.Told && a.Gate == string(gate.Done) {
			i.settle(a.Command)
			continue
		}
		i.owe(a)
	}
	return nil
}

// settleDebts reports what is owed, after each catch-up.
func (i *Intercom) settleDebts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wantSettle:
			i.payAll(ctx)
		}
	}
}

func (i *Intercom) payAll(ctx context.Context) {
	for _, one := range i.debts.list() {
		if !i.pay(ctx, one) && i.line.session.Load() == nil {
			return
		}
	}
}

// pay reports one attempt and forgets it once the ledger knows, or never will.
// A crash before it is forgotten reports it again, which changes nothing.
func (i *Intercom) pay(ctx context.Context, one debt) bool {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	var answer commands.FailedAnswer
	request := commands.FailedRequest{Command: one.report, UseCommand: one.use, Gate: one.gate}
	err := i.line.request(ctx, commands.Fail, request, &answer)
	if !i.paid(one, answer, err) {
		return false
	}
	i.memory.hear(answer.Revision)
	i.settle(one.use)
	i.debts.drop(one.use)
	return true
}

// paid judges the answer to a report. A use that is not recorded may still be:
// its request can lie in a line that was cut, so it is asked about again until
// it is certainly too late.
func (i *Intercom) paid(one debt, a commands.FailedAnswer, err error) bool {
	age := i.wall().Sub(one.askedAt)
	var refused *commands.Refusal
	switch {
	case err == nil:
		return a.Recorded || age > lateUse
	case !errors.As(err, &refused), refused.Code == commands.Unavailable:
		return false
	case refused.Code == commands.Conflict, refused.Code == commands.NotFound:
		return true // answered for before, or forgotten
	}
	i.log.Error("the ledger refuses a report", "attempt", one.use, "gate", one.gate, "error", err)
	return age > reportMost
}

// settle forgets an attempt. If the disk fails, the next process reports it.
func (i *Intercom) settle(use string) {
	if err := i.journal.Settle(use); err != nil {
		i.log.Error("an attempt could not be settled on disk", "error", err)
	}
}
