package robust

import (
	"errors"
	"fmt"

	"gatebook/events"
	"gatebook/projections"
)

// Ledger is what LEDGER holds, folded: one timeline an intercom.
type Ledger map[string]*Timeline

// Timeline is the events of one intercom. Events[r-1] has revision r, and
// States[r] is the state after it; States[0] is empty.
type Timeline struct {
	Events []events.Stored
	States []projections.State
	// stored has the place in Events of each command's event.
	stored map[string]int
}

// Take adds the next event of the stream, and says what is wrong with it.
func (l Ledger) Take(e events.Stored) error {
	t := l[e.Intercom]
	if t == nil {
		t = &Timeline{States: []projections.State{{}}, stored: map[string]int{}}
		l[e.Intercom] = t
	}
	return t.take(e)
}

func (t *Timeline) take(e events.Stored) error {
	at := fmt.Sprintf("%s revision %d (sequence %d, %s)", e.Intercom, e.Revision, e.Sequence, e.Type)
	before := t.States[len(t.States)-1]
	var err error
	if b := projections.Breaks(before, e); b != nil {
		err = fmt.Errorf("%s breaks law %d: %s", at, b.Law, b.Message)
	}
	after, wrong := projections.Apply(before, e)
	if wrong != nil {
		// What does not fit the chain has no place in the timeline.
		return errors.Join(err, fmt.Errorf("%s: %w", at, wrong))
	}
	if after.Stopped != "" {
		err = errors.Join(err, fmt.Errorf("%s stops the fold: %s", at, after.Stopped))
	}
	if first, twice := t.stored[e.Command]; twice {
		err = errors.Join(err, fmt.Errorf("%s: command %s was stored before, at revision %d", at, e.Command, first+1))
	} else {
		t.stored[e.Command] = len(t.Events)
	}
	t.Events = append(t.Events, e)
	t.States = append(t.States, after)
	return err
}

// Stored is the event that a command was accepted with.
func (l Ledger) Stored(intercom, command string) (events.Stored, bool) {
	t := l[intercom]
	if t == nil || command == "" {
		return events.Stored{}, false
	}
	i, ok := t.stored[command]
	if !ok {
		return events.Stored{}, false
	}
	return t.Events[i], true
}

// State is the state after a revision, if the intercom has had that many.
func (l Ledger) State(intercom string, revision uint64) (projections.State, bool) {
	t := l[intercom]
	if t == nil || revision >= uint64(len(t.States)) {
		return projections.State{}, false
	}
	return t.States[revision], true
}
