package service

import (
	"context"
	"encoding/json"
	"errors"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/projections"
)

// pageBytes is about how large a page of the audit becomes.
const pageBytes = 256 << 10

// errPage ends the reading of a page.
var errPage = errors.New("page is full")

// audit reads the ledger straight through and keeps what fits. Upto the first
// page fixes the end, so that a listing is of one moment.
func (s *Service) audit(ctx context.Context, m commands.Meta, body []byte) (any, error) {
	var r commands.AuditRequest
	if err := commands.Read(body, &r); err != nil {
		return nil, err
	}
	if err := checkAudit(r); err != nil {
		return nil, err
	}
	if err := commands.Admit(projections.State{Intercom: m.Intercom}, m, commands.Audit); err != nil {
		return nil, err
	}
	end, err := s.end(ctx)
	if err != nil {
		return nil, err
	}
	a := commands.AuditAnswer{Events: []commands.AuditItem{}, Upto: r.Upto}
	if a.Upto == 0 || a.Upto > end {
		a.Upto = end
	}
	return s.auditPage(ctx, r, a)
}

func (s *Service) auditPage(ctx context.Context, r commands.AuditRequest, a commands.AuditAnswer) (any, error) {
	size, last := 0, r.After
	named := s.recipients()
	err := s.Ledger.Read(ctx, ledger.Range{Intercom: r.Intercom, From: r.After + 1, Upto: a.Upto}, func(e events.Stored) error {
		if size > pageBytes {
			a.Next = last
			return errPage
		}
		last = e.Sequence
		size += 16 // a reading that finds little must end too
		code := codeOf(e.Event)
		if !fits(r, e, code) {
			return nil
		}
		recipient, err := named.ofEvent(ctx, e, code)
		if err != nil {
			return err
		}
		item := auditItem(e, code, recipient)
		size += len(item.Data) + 400
		a.Events = append(a.Events, item)
		return nil
	})
	if err != nil && !errors.Is(err, errPage) {
		return nil, s.internal(err)
	}
	return a, nil
}

// end is the newest durable sequence.
func (s *Service) end(ctx context.Context) (uint64, error) {
	end, err := s.Ledger.LastSequence(ctx)
	if err != nil {
		return 0, s.internal(err)
	}
	if err := s.Ledger.Durable().Wait(ctx, end); err != nil {
		return 0, s.undurable(err, commands.Meta{})
	}
	return end, nil
}

func checkAudit(r commands.AuditRequest) error {
	switch {
	case r.Intercom != "" && !events.ValidID(r.Intercom):
		return commands.Refuse(commands.BadRequest, "use its id, such as front-gate", "the intercom is not one")
	case r.Code != "" && !events.ValidULID(r.Code):
		return badCode()
	case r.Type != "" && !events.ValidID(r.Type):
		return commands.Refuse(commands.BadRequest, "use a type such as revoked", "the type is not one")
	}
	return nil
}

func fits(r commands.AuditRequest, e events.Stored, code string) bool {
	switch {
	case r.Code != "" && code != r.Code,
		r.By != "" && e.By != r.By,
		r.Type != "" && string(e.Type) != r.Type,
		!r.Since.IsZero() && e.At.Before(r.Since),
		!r.Until.IsZero() && !e.At.Before(r.Until):
		return false
	}
	return true
}

func auditItem(e events.Stored, code string, recipient *commands.Guest) commands.AuditItem {
	item := commands.AuditItem{
		Sequence: e.Sequence, ID: e.ID, Type: e.Type, Intercom: e.Intercom, Revision: e.Revision, At: e.At,
		By: e.By, Via: e.Via, Recipient: recipient, Data: json.RawMessage(e.Data),
	}
	if code != "" {
		item.CodeID = &code
	}
	return item
}
