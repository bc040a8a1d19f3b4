package robust

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"
)

// Linearizable gives each intercom's operations to porcupine. Within is for each
// intercom; one that takes longer counts as wrong.
func Linearizable(l Ledger, ops []*Op, within time.Duration) []error {
	parts := partition(ops)
	wrong := make([]error, len(parts))
	m := model(l)
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	var work sync.WaitGroup
	for i, part := range parts {
		turns <- struct{}{}
		work.Go(func() {
			defer func() { <-turns }()
			wrong[i] = inOrder(m, part, within)
		})
	}
	work.Wait()
	return slices.DeleteFunc(wrong, func(err error) bool { return err == nil })
}

func inOrder(m porcupine.Model, ops []*Op, within time.Duration) error {
	switch porcupine.CheckOperationsTimeout(m, operations(ops), within) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("%s: its %d operations fit no order", ops[0].Intercom, len(ops))
	default:
		return fmt.Errorf("%s: no order of its %d operations was found within %v, and none was ruled out", ops[0].Intercom, len(ops), within)
	}
}

// partition splits a history by intercom, in the order in which they appear.
func partition(ops []*Op) [][]*Op {
	at := map[string]int{}
	var parts [][]*Op
	for _, op := range ops {
		i, ok := at[op.Intercom]
		if !ok {
			i = len(parts)
			at[op.Intercom] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

func operations(ops []*Op) []porcupine.Operation {
	out := make([]porcupine.Operation, len(ops))
	for i, op := range ops {
		out[i] = porcupine.Operation{ClientId: op.Caller, Input: op, Output: op.Answer, Call: int64(op.Call), Return: int64(op.Return)}
		if op.Answer == nil {
			out[i].Return = math.MaxInt64
		}
	}
	return out
}

// place is a state of the model: the project's own, and the commands that led
// to it, so that a repeated one is found.
type place struct {
	projections.State
	last *accepted
}

type accepted struct {
	event  events.Stored
	before *accepted
}

func (p place) find(command string) (events.Stored, bool) {
	for a := p.last; a != nil; a = a.before {
		if a.event.Command == command {
			return a.event, true
		}
	}
	return events.Stored{}, false
}

// model is one intercom. The ledger is asked for what happened to operations
// without an answer, and for ids and times, which no answer has in full.
func model(l Ledger) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return place{} },
		Step: func(state, input, output any) (bool, any) {
			p, op := state.(place), input.(*Op)
			next, ok := p.step(l, op, output.(*Answer))
			return ok, next
		},
		// The hash chains over every event so far, ids and times included.
		Equal: func(a, b any) bool { return a.(place).Link == b.(place).Link },
		Hash:  func(a any) uint64 { return short(a.(place).Hash) },
	}
}

func short(hash string) uint64 {
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) < 8 {
		return 0 // the empty state
	}
	return binary.BigEndian.Uint64(raw)
}

func (p place) step(l Ledger, op *Op, a *Answer) (place, bool) {
	stored, kept := l.Stored(op.Intercom, op.Command)
	if a == nil && !kept {
		return p, true // it never happened, or was refused
	}
	if a != nil && a.Refusal != nil && a.Refusal.transient() {
		return p, true
	}
	if op.Verb == commands.List && a != nil && a.Listed != nil {
		return p, a.Listed.Revision == p.Revision && lists(p.State, a.Listed, op.At)
	}
	if earlier, ok := p.find(op.Command); ok {
		return p, a == nil || p.again(op, a, earlier)
	}
	f := fact{id: stored.ID, code: codeOf(stored.Event), at: stored.At}
	if !kept {
		f = told(op, a)
	}
	o, err := decide(p.State, op, f, p.find)
	switch {
	case err != nil:
		return p, false
	case a != nil && a.Refusal != nil:
		return p, a.Refusal.refuses(o.refusal)
	case o.refusal != nil:
		return p, false
	case o.unrecorded:
		return p, a != nil && a.Failed != nil && !a.Failed.Recorded && a.Failed.Revision == p.Revision
	case o.event.Type == "": // a use that opens nothing has no event
		return p, a != nil && a.Used != nil && a.Used.Revision == p.Revision && says(a.Used, o.verdict, op.Code)
	}
	return p.accept(op, a, o, f)
}

// told is what the answer itself says of the event, where the ledger has none.
func told(op *Op, a *Answer) fact {
	f := fact{at: op.At}
	switch {
	case a.Issued != nil:
		f = fact{id: "told:" + op.Command, code: a.Issued.ID, at: a.Issued.IssuedAt}
	case a.Revoked != nil:
		f = fact{id: "told:" + op.Command, at: a.Revoked.RevokedAt}
	case a.Configured != nil, a.Enrolled != nil:
		f.id = "told:" + op.Command
	case a.Failed != nil && a.Failed.Recorded:
		f.id = "told:" + op.Command
	case a.Used != nil:
		f.id = a.Used.Use
	}
	return f
}

func (p place) accept(op *Op, a *Answer, o outcome, f fact) (place, bool) {
	e := o.event.Chained(op.Intercom, p.Link, f.at)
	raw, err := e.Encode()
	if err != nil {
		return p, false
	}
	s := events.Stored{Event: e, Raw: raw, Hash: events.Hash(raw), Sequence: p.Sequence + 1}
	state, err := projections.Apply(p.State, s)
	if err != nil || state.Stopped != "" {
		return p, false
	}
	return place{state, &accepted{s, p.last}}, a == nil || first(op, a, o, s)
}

// first reports whether an answer is the one to the event that it made.
func first(op *Op, a *Answer, o outcome, s events.Stored) bool {
	switch {
	case a.Configured != nil:
		return a.Configured.Revision == s.Revision && op.Settings.Saved(unpacked[events.ConfiguredData](s.Event))
	case a.Enrolled != nil:
		return a.Enrolled.Revision == s.Revision && a.Enrolled.PublicKey == op.PublicKey
	case a.Issued != nil:
		return a.Issued.Revision == s.Revision && a.Issued.ID == codeOf(s.Event)
	case a.Revoked != nil:
		return a.Revoked.Revision == s.Revision && a.Revoked.ID == op.Code
	case a.Used != nil:
		return a.Used.Revision == s.Revision && a.Used.Use == s.ID && says(a.Used, o.verdict, op.Code)
	case a.Failed != nil:
		return a.Failed.Revision == s.Revision && a.Failed.Recorded
	}
	return false
}

// again reports whether an answer is the one to a command that was accepted
// before, as earlier.
func (p place) again(op *Op, a *Answer, earlier events.Stored) bool {
	switch {
	case a.Configured != nil:
		return a.Configured.Revision == earlier.Revision
	case a.Enrolled != nil:
		return a.Enrolled.Revision == earlier.Revision
	case a.Issued != nil:
		return a.Issued.Revision == earlier.Revision && a.Issued.ID == codeOf(earlier.Event)
	case a.Revoked != nil:
		return a.Revoked.Revision == earlier.Revision && a.Revoked.ID == codeOf(earlier.Event)
	case a.Failed != nil:
		return a.Failed.Recorded && a.Failed.Revision == earlier.Revision
	case a.Used != nil:
		code := codeOf(earlier.Event)
		v := commands.Again(p.State, earlier, code, op.At)
		return a.Used.Revision == p.Revision && says(a.Used, v, code) && (v.Reason != "" || a.Used.Use == earlier.ID)
	}
	return a.Refusal != nil && strings.Contains(a.Refusal.Message, "was used for something else")
}
