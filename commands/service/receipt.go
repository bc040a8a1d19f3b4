package service

import (
	"context"

	"gatebook/commands"
)

// receipt takes the intercom's word, if it speaks of the ledger's own events.
func (s *Service) receipt(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.ReceiptRequest
	if err := commands.Read(body, &r); err != nil {
		return nil, err
	}
	st, now, err := s.state(ctx, m, commands.Receipt)
	if err != nil {
		return nil, err
	}
	if r.Revision == 0 {
		return nil, commands.Refuse(commands.BadRequest, "name the newest revision applied", "the receipt names no revision")
	}
	diverged, err := s.diverged(ctx, st, commands.SyncRequest{Revision: r.Revision, Hash: r.Hash})
	if err != nil {
		return nil, s.internal(err)
	}
	if diverged {
		return nil, commands.Refuse(commands.Conflict, "sync first", "the ledger does not have the event that the receipt names")
	}
	before, _, err := s.receipts.at(ctx, m.Intercom, r.Revision)
	if err != nil {
		return nil, s.internal(err)
	}
	if before != nil {
		now = *before
	} else if err := s.ensureRoom(); err != nil {
		return nil, err
	} else if err := s.receipts.store(ctx, m.Intercom, receipt{Revision: r.Revision, At: now}); err != nil {
		return nil, s.internal(err)
	}
	// Told is on disk (law 3), a receipt's time too.
	if err := s.Ledger.Durable().Barrier(ctx); err != nil {
		return nil, s.undurable(err, m)
	}
	return commands.ReceiptAnswer{At: now}, nil
}
