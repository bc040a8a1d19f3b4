package intercom

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// saved is the table as it lies on disk. After a restart it refuses while cut
// off, and never opens.
type saved struct {
	// PublicKey is the enrolment that the matches were made for: another one has
	// another match key.
	PublicKey string            `json:"public_key"`
	State     projections.State `json:"state"`
	Match     map[string]string `json:"match"`
	// Time is the ledger's when this was saved.
	Time time.Time `json:"time"`
}

// content names what a table holds: the chain fixes the state, and a code's
// match never changes.
type content struct {
	revision uint64
	hash     string
	matches  int
}

// save writes the table if it is another than the one on disk, which spares the
// small flash that gates have. It is behind: a crash before it loses what the
// next catch-up brings again.
func (m *memory) save() error {
	t := m.table.Load()
	now := content{t.state.Revision, t.state.Hash, len(t.matches)}
	if !t.known || now == m.onDisk {
		return nil
	}
	kept := saved{PublicKey: m.publicKey, State: t.state, Match: make(map[string]string, len(t.matches)), Time: m.clock.now(true)}
	for id, match := range t.matches {
		kept.Match[id] = match.String()
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	if err := m.disk.SaveTable(raw); err != nil {
		return err
	}
	m.onDisk = now
	return nil
}

// load begins with what the process before this one left. A table that cannot
// be read is left aside: the ledger has it all.
func (m *memory) load(tombs map[string]time.Time) {
	empty := &table{tombs: tombs}
	m.table.Store(empty)
	kept, err := m.read()
	if err != nil {
		m.full = true
		m.log.Warn("the saved table cannot be read; fetching it anew", "error", err)
		return
	}
	if kept != nil {
		m.clock.atLeast = kept.Time
		before := empty.with(kept.State, m.readMatches(kept.Match), tombs)
		before.synced = before.state.Link // a ledger that lacks any of it has lost it by now
		m.table.Store(before)
	}
}

func (m *memory) read() (*saved, error) {
	raw, err := m.disk.LoadTable()
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	var kept saved
	if err := json.Unmarshal(raw, &kept); err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	if s := kept.State; s.Revision > 0 && (s.Intercom != m.intercom || len(s.Hash) != len(events.Genesis)) {
		return nil, errors.New("read table: not of this intercom")
	}
	if kept.PublicKey != m.publicKey {
		kept.Match, m.full = nil, true
	}
	return &kept, nil
}
