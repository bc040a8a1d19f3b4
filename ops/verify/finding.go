package verify

import (
	"fmt"
	"slices"
	"strings"

	"gatebook/commands"
)

// What to do about a finding.
const (
	nextRestore  = "keep a copy of this ledger as it is, then restore the newest backup that verifies"
	nextHistory  = "read what led to it with gatebook audit, and find out which program stored it"
	nextView     = "gatebook serve rebuilds it at its next start"
	nextIndex    = "nothing is lost: gatebook serve makes it anew at its next start"
	nextSettings = "find out who changed the stream, set it back, and compare the ledger with a backup"
)

// finding is one thing that is wrong.
type finding struct {
	sequence uint64 // 0: none can be named
	law      int
	// beside means that the events are well: what is wrong lies beside them.
	beside  bool
	message string
	next    string
}

// findings keeps what is wrong first: with the events before beside them, with
// a sequence before without one, lower before higher, a changed event before a
// broken law, seen earlier before later.
type findings struct {
	first *finding
	notes []string              // what is worth saying and nothing wrong
	each  func(sequence uint64) // told of each event that is not well
}

func (fs *findings) add(f finding) {
	if fs.each != nil && f.sequence > 0 && !f.beside {
		fs.each(f.sequence)
	}
	if fs.first == nil || f.before(*fs.first) {
		fs.first = &f
	}
}

func (fs *findings) note(format string, args ...any) {
	fs.notes = append(fs.notes, fmt.Sprintf(format, args...))
}

// bad adds something wrong with the event at a sequence, or with no sequence (0).
func (fs *findings) bad(sequence uint64, law int, format string, args ...any) {
	fs.add(finding{sequence: sequence, law: law, message: fmt.Sprintf(format, args...), next: nextRestore})
}

// off adds something wrong beside the events.
func (fs *findings) off(sequence uint64, next, format string, args ...any) {
	fs.add(finding{sequence: sequence, law: 6, beside: true, message: fmt.Sprintf(format, args...), next: next})
}

// join adds what another reading of the same ledger found.
func (fs *findings) join(other findings) {
	for _, n := range other.notes {
		if !slices.Contains(fs.notes, n) {
			fs.notes = append(fs.notes, n)
		}
	}
	if other.first != nil {
		fs.add(*other.first)
	}
}

func (f finding) before(g finding) bool {
	switch {
	case f.beside != g.beside:
		return !f.beside
	case (f.sequence == 0) != (g.sequence == 0):
		return f.sequence != 0
	case f.sequence != g.sequence:
		return f.sequence < g.sequence
	default: // an event that was changed proves nothing about who broke a law
		return f.law == 6 && g.law != 6
	}
}

// answer says the first finding, or that there is none.
func (fs *findings) answer(events uint64) commands.VerifyAnswer {
	a := commands.VerifyAnswer{OK: fs.first == nil, Events: events}
	if fs.first == nil {
		a.Message = strings.Join(append([]string{whole(events)}, fs.notes...), "; ")
		return a
	}
	a.Law, a.Message, a.Next = &fs.first.law, fs.first.message, fs.first.next
	if fs.first.sequence > 0 {
		a.FirstBadSequence = &fs.first.sequence
	}
	return a
}

func whole(events uint64) string {
	switch events {
	case 0:
		return "there is no event yet"
	case 1:
		return "the one event is there and well"
	}
	return fmt.Sprintf("all %d events are there and well", events)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func span(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("the event at sequence %d is", first)
	}
	return fmt.Sprintf("the events at sequences %d to %d are", first, last)
}
