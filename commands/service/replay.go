package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/projections"

	"github.com/nats-io/nats.go/micro"
)

// errPast ends a replay at the first event after the instant.
var errPast = errors.New("the rest is later")

// intercomsAMessage and codesAMessage are after how many of them one answer of a
// replay ends, well within the largest message.
const (
	intercomsAMessage = 16
	codesAMessage     = 200
)

// replay folds the ledger from its beginning up to an instant.
func (s *Service) replay(ctx context.Context, m commands.Meta, req micro.Request) error {
	var r commands.ReplayRequest
	if err := commands.Read(req.Data(), &r); err != nil {
		return err
	}
	if r.Intercom != "" && !events.ValidID(r.Intercom) {
		return commands.Refuse(commands.BadRequest, "use its id, such as front-gate", "the intercom is not one")
	}
	if err := commands.Admit(projections.State{Intercom: m.Intercom}, m, commands.Replay); err != nil {
		return err
	}
	if r.Sequence == 0 && r.Time.IsZero() {
		return commands.Refuse(commands.BadRequest, "name a time or a sequence", "the replay names no instant")
	}
	end, err := s.end(ctx)
	if err != nil {
		return err
	}
	if r.Sequence > end {
		return commands.Refuse(commands.BadRequest, "name an event that there is", "the ledger ends at sequence %d", end)
	}
	states, last, err := s.statesAsOf(r, end, alive(func() error {
		return respond(req, commands.ReplayAnswer{Intercoms: []commands.ReplayedItem{}, More: true})
	}))
	if err != nil {
		return s.internal(err)
	}
	at := r.Time
	if r.Sequence > 0 {
		e, err := s.Ledger.At(ctx, r.Sequence)
		if err != nil {
			return s.internal(err)
		}
		at = e.At
	}
	return s.sendReplay(s.waits, req, states, commands.ReplayAnswer{AsOf: at.UTC(), Sequence: last.Sequence})
}

// statesAsOf works beyond the time of one answer: it reads the whole ledger, and
// says now and then that it still does.
func (s *Service) statesAsOf(r commands.ReplayRequest, end uint64, tick func() error) (map[string]projections.State, events.Stored, error) {
	var last events.Stored
	states := map[string]projections.State{}
	if r.Sequence > 0 {
		end = min(end, r.Sequence)
	}
	err := s.Ledger.Read(s.waits, ledger.Range{Intercom: r.Intercom, From: 1, Upto: end}, func(e events.Stored) error {
		if err := tick(); err != nil {
			return err
		}
		if r.Sequence == 0 && e.At.After(r.Time) {
			if r.Intercom != "" {
				return errPast
			}
			return nil // intercoms are ordered in time each, not among each other
		}
		st, err := projections.Apply(states[e.Intercom], e)
		if err != nil {
			return err
		}
		states[e.Intercom], last = st, e
		return nil
	})
	if err != nil && !errors.Is(err, errPast) {
		return nil, last, err
	}
	return states, last, nil
}

func (s *Service) sendReplay(ctx context.Context, req micro.Request, states map[string]projections.State, a commands.ReplayAnswer) error {
	ids := make([]string, 0, len(states))
	for id := range states {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	a.Intercoms = []commands.ReplayedItem{}
	named := s.recipients()
	codes := 0
	for i, id := range ids {
		a.Intercoms = append(a.Intercoms, s.replayed(ctx, named, states[id], a.AsOf))
		codes += len(a.Intercoms[len(a.Intercoms)-1].Codes)
		if a.More = i+1 < len(ids); a.More && (len(a.Intercoms) == intercomsAMessage || codes >= codesAMessage) {
			if err := respond(req, a); err != nil {
				return err
			}
			a.Intercoms, codes = []commands.ReplayedItem{}, 0
		}
	}
	a.More = false
	return respond(req, a)
}

func (s *Service) replayed(ctx context.Context, named recipients, st projections.State, at time.Time) commands.ReplayedItem {
	item := commands.ReplayedItem{Intercom: st.Intercom, Revision: st.Revision, Codes: []commands.ListItem{}}
	if st.Settings != nil {
		settings := commands.SettingsOf(st.Intercom, *st.Settings, st.Revision, time.Time{})
		item.Settings = &settings
	}
	for _, c := range st.Live(at) {
		code := commands.ListItemOf(c, at)
		recipient, err := named.of(ctx, st.Intercom, c.ID)
		if err != nil {
			s.Log.Warn("a recipient cannot be read", "intercom", st.Intercom, "code", c.ID, "error", err)
		}
		code.Recipient = recipient
		item.Codes = append(item.Codes, code)
	}
	return item
}
