package verify

import (
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// message is one message of the stream, before anything is made of it.
type message struct {
	sequence uint64
	subject  string
	data     []byte
	// fence is the sequence that the message had to follow when it was stored,
	// as its header says; fenced says that there is such a header.
	fence  uint64
	fenced bool
}

// audit judges the messages of one ledger as they come, in stream order. What
// it holds is bounded by the intercoms, not by the events.
type audit struct {
	findings
	next   uint64 // the sequence that must come next
	read   uint64 // messages
	newest time.Time
	chains map[string]*chain

	witnesses witnesses
	kept      map[string]keptView
	// strange counts the intercoms with an event that this version does not
	// understand; strangeAt is the first such event.
	strange   int
	strangeAt uint64
	fenceless int
}

func newAudit() *audit {
	return &audit{next: 1, chains: map[string]*chain{}, witnesses: newWitnesses(), kept: map[string]keptView{}}
}

// take judges the next message.
func (a *audit) take(m message) {
	a.reach(m.sequence)
	a.next = m.sequence + 1
	a.read++
	if !m.fenced {
		a.fenceless++
	}
	e, err := events.Decode(m.data, m.sequence)
	if err != nil {
		a.bad(m.sequence, 6, "what lies at sequence %d is no event: it was changed", m.sequence)
		return
	}
	if want := events.Subject(e.Intercom, e.Type); m.subject != want {
		a.bad(m.sequence, 6, "the event at sequence %d lies under a subject that is not its own: it was changed", m.sequence)
	}
	a.witnesses.ask(e, &a.findings)
	a.follow(e, m)
	if e.At.After(a.newest) {
		a.newest = e.At
	}
}

// reach says that no message came before a sequence that should have.
func (a *audit) reach(sequence uint64) {
	switch {
	case sequence > a.next:
		a.bad(a.next, 6, "%s missing", span(a.next, sequence-1))
	case sequence < a.next:
		a.bad(sequence, 6, "sequence %d comes again after sequence %d", sequence, a.next-1)
	}
}

// end is called when everything up to the last sequence has been taken.
func (a *audit) end(last uint64) {
	if a.next <= last {
		a.reach(last + 1)
		a.next = last + 1
	}
	for intercom, c := range a.chains {
		c.settle(intercom, a, a.witnesses.denied[c.doubt.at])
	}
	a.witnesses.end(a.next-1, &a.findings)
	if a.strange > 0 {
		have := plural(a.strange, "intercom has", "intercoms have")
		a.note("%s events that this version does not understand, the first at sequence %d", have, a.strangeAt)
	}
}

// fold judges an event that follows its chain by the laws, and applies it.
func (a *audit) fold(c *chain, e events.Stored) {
	if b := projections.Breaks(c.state, e); b != nil {
		a.add(finding{sequence: e.Sequence, law: b.Law, message: b.Message, next: nextHistory})
	}
	next, err := projections.Apply(c.state, e)
	if err != nil {
		a.bad(e.Sequence, 6, "the event at sequence %d cannot be applied: %v", e.Sequence, err)
		c.broken = true
		return
	}
	if next.Stopped != "" && c.state.Stopped == "" {
		if a.strange++; a.strange == 1 {
			a.strangeAt = e.Sequence
		}
	}
	c.state = next
	a.compare(next)
}
