package service

import (
	"context"
	"time"

	"gatebook/commands"
	"gatebook/projections"

	"github.com/nats-io/nats.go/micro"
)

// progressEvery is how often a long reading says how far it is, well within the
// time that a caller waits for the next word.
const progressEvery = 500 * time.Millisecond

// verify reads the whole ledger and says what it finds.
func (s *Service) verify(_ context.Context, m commands.Meta, req micro.Request) error {
	if err := commands.Read(req.Data(), &struct{}{}); err != nil {
		return err
	}
	if err := commands.Admit(projections.State{Intercom: m.Intercom}, m, commands.Verify); err != nil {
		return err
	}
	var done, of uint64
	tick := alive(func() error { return respond(req, commands.VerifyAnswer{Events: done, Of: of, More: true}) })
	a, err := s.Verify(s.waits, func(read, all uint64) {
		done, of = read, all
		if err := tick(); err != nil {
			s.Log.Warn("progress could not be sent", "error", err)
		}
	})
	if err != nil {
		return s.internal(err)
	}
	return respond(req, a)
}

// alive calls say when it is called and progressEvery has gone by since the
// last time, so that who waits for a long answer knows that it is coming.
func alive(say func() error) func() error {
	said := time.Now()
	return func() error {
		if time.Since(said) < progressEvery {
			return nil
		}
		said = time.Now()
		return say()
	}
}
