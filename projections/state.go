package projections

import (
	"slices"
	"strings"
	"time"

	"gatebook/events"
)

// State is what an intercom's events make of it. The zero State is an intercom
// that has had no event.
type State struct {
	Intercom string `json:"intercom"`
	// Sequence is where the stream has the newest event: the next append's fence.
	Sequence uint64 `json:"sequence"`
	events.Link
	// ID is the newest event's.
	ID string `json:"id"`
	// Owner is the author of the first configured event, as its by field says.
	Owner    string                 `json:"owner,omitempty"`
	Settings *events.ConfiguredData `json:"settings,omitempty"`
	// Enrolled is the public key of the one NATS user that may act as the
	// intercom; Former are those that may no longer.
	Enrolled string   `json:"enrolled,omitempty"`
	Former   []string `json:"former,omitempty"`
	// Codes are those that live and those that ended less than Kept ago, by id.
	Codes []Code `json:"codes"`
	// Stopped says why nothing may be decided on this state any more: an event
	// that this version does not understand. Empty while it may.
	Stopped string `json:"stopped,omitempty"`
}

// Mark names the newest event.
func (s State) Mark() events.Mark {
	return events.Mark{Sequence: s.Sequence, ID: s.ID, Hash: s.Hash}
}

// Code finds a code by id.
func (s State) Code(id string) (Code, bool) {
	i, ok := s.index(id)
	if !ok {
		return Code{}, false
	}
	return s.Codes[i], true
}

func (s State) index(id string) (int, bool) {
	return slices.BinarySearchFunc(s.Codes, id, func(c Code, id string) int { return strings.Compare(c.ID, id) })
}

// Live are the codes that take a slot at now, oldest first.
func (s State) Live(now time.Time) []Code {
	var live []Code
	for _, c := range s.Codes {
		if c.Live(now) {
			live = append(live, c)
		}
	}
	slices.SortStableFunc(live, func(a, b Code) int { return a.IssuedAt.Compare(b.IssuedAt) })
	return live
}

// Count is how many codes take a slot at now.
func (s State) Count(now time.Time) int {
	n := 0
	for _, c := range s.Codes {
		if c.Live(now) {
			n++
		}
	}
	return n
}
