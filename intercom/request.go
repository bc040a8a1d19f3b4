package intercom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"gatebook/commands"
	"gatebook/events"
)

// errorCode is the header that makes an answer a refusal.
const errorCode = "Nats-Service-Error-Code"

var (
	// errCut: there is no line, so nothing was sent.
	errCut = errors.New("not connected to the ledger")
	// errNobody: the line is up and nobody answers for the ledger, so nothing
	// was taken.
	errNobody = errors.New("no ledger answers")
)

// request asks for one answer. errCut, errNobody and a refusal other than
// unavailable mean that nothing was done; after any other error it may have
// been, or may yet be.
func (l *line) request(ctx context.Context, v commands.Verb, body, answer any) error {
	s := l.session.Load()
	if s == nil {
		return errCut
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write request %s: %w", v, err)
	}
	ctx, release := s.bound(ctx)
	defer release()
	msg, err := s.nc.RequestWithContext(ctx, l.subject(v), raw)
	if err != nil {
		return asked(v, err)
	}
	return readAnswer(msg, answer)
}

// collect asks for answers that may come in several messages. each returns
// whether more are to come.
func (l *line) collect(ctx context.Context, s *session, v commands.Verb, body any, each func(*nats.Msg) (bool, error)) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write request %s: %w", v, err)
	}
	ctx, release := s.bound(ctx)
	defer release()
	inbox := s.nc.NewInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return asked(v, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone, and the subscription with it
	if err := s.nc.PublishRequest(l.subject(v), inbox, raw); err != nil {
		return asked(v, err)
	}
	for more := true; more; {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return asked(v, err)
		}
		if more, err = each(msg); err != nil {
			return err
		}
	}
	return nil
}

func (l *line) subject(v commands.Verb) string {
	return events.Request(l.actor.ID, string(v), l.actor)
}

// bound is ctx for as long as the line is up.
func (s *session) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func asked(v commands.Verb, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		err = errNobody
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		err = errCut
	}
	return fmt.Errorf("ask %s: %w", v, err)
}

// readAnswer reads an answer, or the refusal that came in its place.
func readAnswer(msg *nats.Msg, answer any) error {
	if code := msg.Header.Get(errorCode); code != "" {
		var refused struct {
			Error commands.Refusal `json:"error"`
		}
		if json.Unmarshal(msg.Data, &refused) != nil || refused.Error.Code == "" {
			refused.Error = commands.Refusal{Code: commands.Code(code), Message: "the ledger refused"}
		}
		return &refused.Error
	}
	if err := json.Unmarshal(msg.Data, answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// undone reports whether err says for certain that the ledger did nothing.
func undone(err error) bool {
	var refused *commands.Refusal
	if errors.As(err, &refused) {
		return refused.Code != commands.Unavailable
	}
	return errors.Is(err, errCut) || errors.Is(err, errNobody)
}
