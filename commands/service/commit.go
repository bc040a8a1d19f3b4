package service

import (
	"context"
	"errors"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/projections"
)

// decide makes one event of a state, or refuses. It may be called again when
// another ledger was first.
type decide func(st projections.State, now time.Time) (events.Event, error)

// result is what became of a command that was accepted.
type result struct {
	event events.Stored
	// repeated says that the command had been accepted before: event is what it
	// was accepted with then.
	repeated bool
	// state is the state after the event, or as it is now for a repeated one.
	state projections.State
	now   time.Time
}

// commit decides a command and stores its event. It returns when the event, or
// what a refusal rests on, is durable. A crash before that leaves a command
// that nobody was answered on, stored or not; its id tells.
func (s *Service) commit(ctx context.Context, m commands.Meta, v commands.Verb, d decide) (result, error) {
	r := s.room(m.Intercom)
	if err := r.enter(ctx); err != nil {
		return result{}, err
	}
	res, err := s.inTurn(ctx, r, m, v, d)
	r.leave()
	if unknown := (*unknownError)(nil); errors.As(err, &unknown) {
		return result{}, err
	}
	// Both an acceptance and a refusal rest on the state they were decided on.
	if w := s.Ledger.Durable().Wait(ctx, res.state.Sequence); w != nil {
		return result{}, s.undurable(w, m)
	}
	return res, err
}

func (s *Service) inTurn(ctx context.Context, r *room, m commands.Meta, v commands.Verb, d decide) (result, error) {
	if err := s.settle(ctx, r, m.Intercom); err != nil {
		return result{}, err
	}
	for {
		res, again, err := s.try(ctx, r, m, v, d)
		if !again {
			return res, err
		}
		if ctx.Err() != nil {
			return res, commands.Refuse(commands.Conflict, "try again", "others were first each time")
		}
	}
}

// try decides once. Again says that the state it decided on was not the newest.
func (s *Service) try(ctx context.Context, r *room, m commands.Meta, v commands.Verb, d decide) (res result, again bool, err error) {
	st := s.views.State(m.Intercom)
	res.state = st
	if res.now, err = s.nowAfter(st); err != nil {
		return res, false, err
	}
	if err := admit(st, m, v); err != nil {
		return s.refused(ctx, res, m, err)
	}
	if e, ok, err := s.earlier(ctx, r, m.Intercom, m.Command); err != nil {
		return res, false, s.internal(err)
	} else if ok {
		res.event, res.repeated = e, true
		return s.refused(ctx, res, m, nil) // what it means now rests on the newest state
	}
	e, err := d(st, res.now)
	if err != nil || e.ID == "" {
		return s.refused(ctx, res, m, err)
	}
	if err := s.ensureRoom(); err != nil {
		return res, false, err
	}
	p, err := ledger.Prepare(e.Chained(m.Intercom, st.Link, res.now), st.Sequence)
	if err != nil {
		return res, false, s.internal(err)
	}
	return s.store(ctx, r, m, p, res)
}

func admit(st projections.State, m commands.Meta, v commands.Verb) error {
	if err := commands.Admit(st, m, v); err != nil {
		return err
	}
	return commands.Decidable(st, m)
}

func (s *Service) store(ctx context.Context, r *room, m commands.Meta, p *ledger.Pending, res result) (result, bool, error) {
	// Not the caller's context: who gives up must not turn a stored event into
	// an unknown one.
	stored, err := s.Ledger.Append(s.ctx, p)
	switch {
	case errors.Is(err, ledger.ErrConflict):
		if err := s.views.CatchUp(ctx, m.Intercom); err != nil {
			return res, false, s.internal(err)
		}
		return res, true, nil
	case errors.Is(err, ledger.ErrUnavailable):
		return res, false, s.internal(err)
	case err != nil:
		r.pending = p
		s.spawn(func(ctx context.Context) { s.settleSoon(ctx, r, m.Intercom) })
		s.Log.Warn("an append had no answer and is being settled", "intercom", m.Intercom, "command", m.Command, "error", err)
		return res, false, unknown(m.Command)
	}
	if err := s.views.Apply(stored); err != nil {
		return res, false, s.internal(err)
	}
	// Not what the views have by now: another ledger's event may have come in.
	after, err := projections.Apply(res.state, stored)
	if err != nil {
		return res, false, s.internal(err)
	}
	res.event, res.state = stored, after
	return res, false, nil
}

// refused: where others write too, an answer that stores nothing rests on the
// newest state only once the leader has said that there is none newer.
func (s *Service) refused(ctx context.Context, res result, m commands.Meta, refusal error) (result, bool, error) {
	if s.Shared {
		if err := s.views.CatchUp(ctx, m.Intercom); err != nil {
			return res, false, s.internal(err)
		}
		if s.views.State(m.Intercom).Sequence != res.state.Sequence {
			return res, true, nil
		}
	}
	return res, false, refusal
}

// settle resolves an append without an answer before anything else is decided;
// needs the room's turn.
func (s *Service) settle(ctx context.Context, r *room, intercom string) error {
	if r.pending == nil {
		return nil
	}
	e, err := s.Ledger.Settle(ctx, r.pending)
	switch {
	case err == nil:
		err = s.views.Apply(e)
	case errors.Is(err, ledger.ErrConflict):
		err = s.views.CatchUp(ctx, intercom)
	}
	if err != nil {
		return busy()
	}
	r.pending = nil
	return nil
}

// settleSoon goes on until the outcome is known, also when nobody asks.
func (s *Service) settleSoon(ctx context.Context, r *room, intercom string) {
	for ctx.Err() == nil {
		if r.enter(ctx) != nil {
			return
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := s.settle(short, r, intercom)
		cancel()
		r.leave()
		if err == nil {
			return
		}
	}
}

// state is an intercom's state for who only reads: the newest there is, and
// durable.
func (s *Service) state(ctx context.Context, m commands.Meta, v commands.Verb) (projections.State, time.Time, error) {
	st, err := s.current(ctx, m.Intercom)
	if err != nil {
		return projections.State{}, time.Time{}, s.internal(err)
	}
	now, err := s.nowAfter(st)
	if err == nil {
		err = commands.Admit(st, m, v)
	}
	if w := s.Ledger.Durable().Wait(ctx, st.Sequence); w != nil {
		return st, now, s.undurable(w, m)
	}
	return st, now, err
}

// current is a state that the leader has, and has nothing after.
func (s *Service) current(ctx context.Context, intercom string) (projections.State, error) {
	for {
		st := s.views.State(intercom)
		if !s.Shared {
			return st, nil
		}
		if err := s.views.CatchUp(ctx, intercom); err != nil {
			return st, err
		}
		if s.views.State(intercom).Sequence == st.Sequence {
			return st, nil
		}
	}
}

func (s *Service) ensureRoom() error {
	if s.Space == nil {
		return nil
	}
	if err := s.Space.Ensure(); err != nil {
		s.Log.Error("the volume is full and the reserve is used up", "error", err)
		return commands.Refuse(commands.Unavailable, "make room on the ledger's volume", "the ledger's volume is full")
	}
	return nil
}
