package intercom

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/intercom/journal"
)

// memory keeps the table: the one place that writes it, from live events and
// from catch-ups, while any number of readers go by the newest one.
type memory struct {
	intercom  string
	publicKey string
	log       *slog.Logger
	disk      *journal.Journal
	clock     *clock

	table atomic.Pointer[table]
	// told is the highest revision that an answer of the ledger named.
	told atomic.Uint64
	// synced is the line over which the last catch-up came, nil once an event
	// did not fit.
	synced atomic.Pointer[session]

	mu     sync.Mutex // held by the one who writes, never over the disk or the wire; owns what follows
	full   bool       // what we have cannot be used: the next catch-up brings all
	missed bool       // an event did not fit since the last catch-up was asked for
	doubt  doubt

	onDisk content // what was saved last; only save touches it
}

// glance is the table, and how things stand over the line s.
func (m *memory) glance(s *session) (*table, glance) {
	t := m.table.Load()
	return t, glance{
		now:       m.clock.now(s != nil),
		connected: s != nil,
		current:   s != nil && m.synced.Load() == s && t.state.Revision >= m.told.Load(),
	}
}

// hear notes a revision that the ledger answered with. Until the table is there
// too, it refuses nothing that a later event could undo.
func (m *memory) hear(revision uint64) {
	for {
		old := m.told.Load()
		if revision <= old || m.told.CompareAndSwap(old, revision) {
			return
		}
	}
}

// follow takes a live event. It returns whether that changed the table, and
// whether the ledger must be asked now: for what was missed, or for the match
// of a code just issued.
func (m *memory) follow(e events.Stored) (changed, ask bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.table.Load()
	next, err := t.follow(e)
	m.table.Store(next) // from here on the keypad refuses by it
	if err != nil {
		m.missed = true
		m.synced.Store(nil)
		m.log.Info("a live event does not fit; catching up", "type", e.Type, "revision", e.Revision, "have", t.state.Revision, "error", err)
	}
	m.sayStopped(t, next)
	return next != t, err != nil || m.wantsAll(next)
}

// sayDiverged: the ledger lost what we hold, or was put back to an earlier
// state. People must hear of it; the gate stays safe by the tombstones.
func (m *memory) sayDiverged(t *table, asked events.Link, a commands.SyncAnswer) {
	m.log.Error("the ledger does not have the events that this intercom has seen; what was seen revoked stays rejected",
		"held_revision", asked.Revision, "held_hash", asked.Hash,
		"ledger_revision", a.Revision, "ledger_hash", a.Hash,
		"seen_revoked", slices.Sorted(maps.Keys(t.tombs)))
}

func (m *memory) sayStopped(before, after *table) {
	if why := after.state.Stopped; why != "" && before.state.Stopped == "" {
		m.log.Error("an event is not understood; nothing opens until this program is newer", "error", why)
	}
}
