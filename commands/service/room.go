package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/projections"
)

// remembered is for how long an accepted command is found again.
const remembered = 24 * time.Hour

// hashesKept is for how many revisions back a room knows the hash by heart.
const hashesKept = 256

// room is what one intercom needs beside its state.
type room struct {
	// turn is held while a command is decided and stored, so that each is
	// decided on what the one before it left.
	turn chan struct{}
	// pending is an append that nobody knows the outcome of; needs turn.
	pending *ledger.Pending

	mu     sync.Mutex
	loaded bool              // done has the commands from before this process, too
	done   map[string]uint64 // accepted commands by id: where the stream has their event
	oldest []doneAt          // the same, oldest first, to forget them by
	guests map[string]guest
	hashes map[uint64]string
}

type doneAt struct {
	command string
	at      time.Time
}

// guest is what the sealed box of a code holds, read once. Readable is false
// where its key is gone.
type guest struct {
	seal.Guest
	readable bool
	match    string // under matchKey
	matchKey string // the enrolled public key that match belongs to
}

func (s *Service) room(intercom string) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[intercom]
	if r == nil {
		r = &room{turn: make(chan struct{}, 1), done: map[string]uint64{}, guests: map[string]guest{}, hashes: map[uint64]string{}}
		s.rooms[intercom] = r
	}
	return r
}

func (r *room) enter(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy()
	}
}

func (r *room) leave() { <-r.turn }

// applied learns from an event that has become part of the state.
func (r *room) applied(e events.Stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hashes[e.Revision] = e.Hash
	delete(r.hashes, e.Revision-hashesKept)
	r.remember(e.Command, e.Sequence, e.At)
}

// remember needs r.mu.
func (r *room) remember(command string, sequence uint64, at time.Time) {
	if _, ok := r.done[command]; ok {
		return
	}
	r.done[command] = sequence
	r.oldest = append(r.oldest, doneAt{command, at})
	for len(r.oldest) > 0 && at.Sub(r.oldest[0].at) > remembered {
		delete(r.done, r.oldest[0].command)
		r.oldest = r.oldest[1:]
	}
}

// earlier finds the event that a command was accepted with, from the ledger
// itself, so that any process finds it after any crash.
func (s *Service) earlier(ctx context.Context, r *room, intercom, command string) (events.Stored, bool, error) {
	if err := s.loadDone(ctx, r, intercom); err != nil {
		return events.Stored{}, false, err
	}
	r.mu.Lock()
	sequence, ok := r.done[command]
	r.mu.Unlock()
	if !ok {
		return events.Stored{}, false, nil
	}
	e, err := s.Ledger.At(ctx, sequence)
	if err != nil {
		return events.Stored{}, false, fmt.Errorf("find command again: %w", err)
	}
	return e, true, nil
}

// loadDone reads the last day of an intercom once. What is applied from the
// start of this process on is remembered anyway.
func (s *Service) loadDone(ctx context.Context, r *room, intercom string) error {
	r.mu.Lock()
	loaded := r.loaded
	r.mu.Unlock()
	if loaded {
		return nil
	}
	recent, err := s.recent(ctx, s.views.State(intercom))
	if err != nil {
		return fmt.Errorf("load recent commands of %s: %w", intercom, err)
	}
	r.learnDone(recent)
	return nil
}

// recent are the intercom's events of the last day, with a margin because the
// server stamps messages with a clock of its own.
func (s *Service) recent(ctx context.Context, st projections.State) ([]events.Stored, error) {
	if st.Revision == 0 {
		return nil, nil
	}
	var recent []events.Stored
	since := st.At.Add(-remembered - time.Minute)
	err := s.Ledger.Read(ctx, ledger.Range{Intercom: st.Intercom, Since: since, Upto: st.Sequence}, func(e events.Stored) error {
		e.Raw, e.Data = nil, nil
		recent = append(recent, e)
		return nil
	})
	return recent, err
}

// learnDone puts the recent commands before those that came since.
func (r *room) learnDone(recent []events.Stored) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done, since := r.done, r.oldest
	r.loaded, r.done, r.oldest = true, map[string]uint64{}, nil
	for _, e := range recent {
		r.remember(e.Command, e.Sequence, e.At)
	}
	for _, d := range since {
		r.remember(d.command, done[d.command], d.at)
	}
}

// errFound ends a reading that has found what it looked for.
var errFound = errors.New("found")

// hashAt is the hash of the intercom's event at a revision that it has had.
func (s *Service) hashAt(ctx context.Context, intercom string, revision, upto uint64) (string, error) {
	r := s.room(intercom)
	r.mu.Lock()
	hash, ok := r.hashes[revision]
	r.mu.Unlock()
	if ok {
		return hash, nil
	}
	err := s.Ledger.Read(ctx, ledger.Range{Intercom: intercom, From: 1, Upto: upto}, func(e events.Stored) error {
		if e.Revision == revision {
			hash = e.Hash
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return "", fmt.Errorf("look up revision %d of %s: %w", revision, intercom, err)
	}
	return hash, nil
}

// codeOf reads the code id that an event's data names, if it names one.
func codeOf(e events.Event) string {
	var d struct {
		CodeID string `json:"code_id"`
	}
	if json.Unmarshal(e.Data, &d) != nil {
		return ""
	}
	return d.CodeID
}
