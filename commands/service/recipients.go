package service

import (
	"context"
	"errors"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
)

// recipients reads whom codes are for, living or long ended, and remembers it
// for one answer only.
type recipients struct {
	service *Service
	keys    *keyring
	known   map[string]*commands.Guest // by code id; nil: cannot be read
}

func (s *Service) recipients() recipients {
	return recipients{service: s, keys: s.keyring(), known: map[string]*commands.Guest{}}
}

// ofEvent is the recipient of the code that an event is about, nil where there
// is none or where it cannot be read any more.
func (r recipients) ofEvent(ctx context.Context, e events.Stored, code string) (*commands.Guest, error) {
	if code == "" {
		return nil, nil
	}
	if e.Type == events.Issued {
		return r.unseal(ctx, e, code)
	}
	return r.of(ctx, e.Intercom, code)
}

// of is the recipient of a code.
func (r recipients) of(ctx context.Context, intercom, code string) (*commands.Guest, error) {
	if g, ok := r.known[code]; ok {
		return g, nil
	}
	if g := r.service.room(intercom).recipient(code); g != nil {
		return g, nil
	}
	e, err := r.service.Ledger.IssuedAfter(ctx, intercom, madeAt(code), func(e events.Stored) bool { return codeOf(e.Event) == code })
	if errors.Is(err, ledger.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.unseal(ctx, e, code)
}

func (r recipients) unseal(ctx context.Context, e events.Stored, code string) (*commands.Guest, error) {
	var d events.IssuedData
	if e.Unpack(&d) != nil {
		return nil, nil // an issued event of another version shows no recipient
	}
	g, err := r.keys.unseal(ctx, e.Intercom, code, d.Sealed)
	if err != nil {
		return nil, err
	}
	r.known[code] = nil
	if g.readable {
		r.known[code] = &commands.Guest{Name: g.Name, Mobile: g.Mobile}
	}
	return r.known[code], nil
}
