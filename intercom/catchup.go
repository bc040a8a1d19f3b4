package intercom

import (
	"errors"
	"time"

	"gatebook/commands"
	"gatebook/events"
)

// question is what a catch-up asks for.
type question struct {
	at   events.Link // the newest event that is in the table
	full bool        // answer with everything, whether or not it is new
}

// question asks for all that was missed until now.
func (m *memory) question() question {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missed = false
	t := m.table.Load()
	return question{at: t.state.Link, full: m.wantsAll(t)}
}

// wantsAll: a match that is missing, or an event that only the ledger may
// understand, comes with everything or not at all. At one revision it is asked
// for once.
func (m *memory) wantsAll(t *table) bool {
	misread := t.state.Stopped != "" && !same(t.whole, t.state.Link)
	return m.full || misread || t.lacksMatches()
}

// adopt takes the answer to q that came over s. It returns whether to ask again
// soon, because live events or matches are still to be vouched for.
func (m *memory) adopt(q question, s *session, a commands.SyncAnswer) (again bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.table.Load()
	if a.State != nil && a.State.Revision > 0 && a.State.Intercom != m.intercom {
		return false, errors.New("the ledger answered with the view of another intercom")
	}
	if a.Diverged && m.doubt.of(t, q, a) {
		m.synced.Store(nil)
		return true, nil
	}
	if a.Diverged {
		m.sayDiverged(t, q.at, a)
		m.told.Store(a.Revision)
	}
	next, err := t.adopt(q.at, a, m.readMatches(a.Match))
	if m.full = err != nil; m.full {
		return false, err
	}
	m.clock.hear(a.Time)
	m.table.Store(next)
	if !m.missed { // else another catch-up is on its way
		m.synced.Store(s)
	}
	m.sayStopped(t, next)
	level := same(next.synced, next.state.Link)
	return !level || m.wantsAll(next), nil
}

// doubt is about a ledger that does not have what was just seen live. It may
// have lost it with its power; or its answer was made before it had taken note
// of it, for live comes as soon as an event is stored.
type doubt struct {
	about events.Link
	since time.Time
}

// doubtFor is how long a ledger is asked again before it is believed.
const doubtFor = time.Second

// of reports whether to ask once more before believing that the ledger lost
// what q names. What it vouched for before, or has another event in the place
// of, leaves no doubt.
func (d *doubt) of(t *table, q question, a commands.SyncAnswer) bool {
	if a.Revision >= q.at.Revision || a.Revision < t.synced.Revision {
		return false
	}
	if !same(d.about, q.at) {
		*d = doubt{about: q.at, since: time.Now()}
	}
	return time.Since(d.since) < doubtFor
}

func (m *memory) readMatches(list map[string]string) map[string]matched {
	read := make(map[string]matched, len(list))
	for id, s := range list {
		if match, ok := parseMatch(s); ok {
			read[id] = match
			continue
		}
		m.log.Error("the ledger sent a match that is none", "code_id", id)
	}
	return read
}
