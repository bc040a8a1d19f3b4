package service

import (
	"context"
	"slices"

	"gatebook/commands"
	"gatebook/projections"
)

// endedShown is how many of the codes that ended lately an intercom is told of.
// Digits of older ones it asks about. With the most live codes there may be, an
// answer stays well within one message.
const endedShown = 500

func (s *Service) sync(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.SyncRequest
	if err := commands.Read(body, &r); err != nil {
		return nil, err
	}
	st, now, err := s.state(ctx, m, commands.Sync)
	if err == nil && r.Revision > st.Revision {
		// Live tells of an event as soon as it is stored, which may be before
		// this process has taken note of it.
		if err := s.views.CatchUp(ctx, m.Intercom); err != nil {
			return nil, s.internal(err)
		}
		st, now, err = s.state(ctx, m, commands.Sync)
	}
	if err != nil {
		return nil, err
	}
	a := commands.SyncAnswer{Revision: st.Revision, Hash: st.Hash, Time: now}
	if r.Revision > 0 {
		if a.Diverged, err = s.diverged(ctx, st, r); err != nil {
			return nil, s.internal(err)
		}
	}
	if r.Revision == st.Revision && !a.Diverged && !r.Full {
		return a, nil
	}
	room := s.room(m.Intercom)
	if err := s.learnGuests(ctx, room, st); err != nil {
		return nil, s.internal(err)
	}
	a.State, a.Match = forKeypad(st), map[string]string{}
	for _, c := range a.State.Codes {
		if match, ok := s.matchOf(room, st, c.ID); ok {
			a.Match[c.ID] = match
		}
	}
	return a, nil
}

func (s *Service) diverged(ctx context.Context, st projections.State, r commands.SyncRequest) (bool, error) {
	if r.Revision > st.Revision {
		return true, nil
	}
	if r.Revision == st.Revision {
		return r.Hash != st.Hash, nil
	}
	hash, err := s.hashAt(ctx, st.Intercom, r.Revision, st.Sequence)
	return hash != r.Hash, err
}

// forKeypad is the state without what a keypad has no business knowing.
func forKeypad(st projections.State) *projections.State {
	st.Codes = slices.Clone(st.Codes)
	st.Former = nil
	ended := 0
	for i := len(st.Codes) - 1; i >= 0; i-- {
		c := &st.Codes[i]
		c.Sealed = nil
		if !c.RevokedAt.IsZero() || !c.ExitedAt.IsZero() || !c.ExpiredAt.IsZero() {
			if ended++; ended > endedShown {
				c.ID = ""
			}
		}
	}
	st.Codes = slices.DeleteFunc(st.Codes, func(c projections.Code) bool { return c.ID == "" })
	return &st
}
