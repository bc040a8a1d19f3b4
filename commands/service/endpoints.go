package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/projections"

	"github.com/nats-io/nats.go/micro"
	"github.com/oklog/ulid/v2"
)

// answerWithin bounds the work on one request, beside what it asks to wait.
const answerWithin = 5 * time.Second

// maxWait is the longest that a revoke may ask to wait for the receipt.
const maxWait = 10 * time.Minute

// handler answers one request. What it returns is sent as JSON.
type handler func(ctx context.Context, m commands.Meta, body []byte) (any, error)

func (s *Service) handlers() map[commands.Verb]handler {
	return map[commands.Verb]handler{
		commands.Settings: s.settings, commands.Configure: s.configure,
		commands.IssueVerb: s.issue, commands.List: s.list, commands.Show: s.show, commands.Revoke: s.revoke,
		commands.Enroll: s.enroll, commands.Unenroll: s.unenroll,
		commands.Use: s.use, commands.Fail: s.failed, commands.Sync: s.sync, commands.Receipt: s.receipt,
		commands.Audit: s.audit,
	}
}

// listen makes an endpoint of each command. Several ledgers share the requests.
func (s *Service) listen() error {
	svc, err := micro.AddService(s.Answers, micro.Config{
		Name: "gatebook", Version: "1.0.0", Description: "the ledger's commands",
	})
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	s.micro = svc
	for verb, h := range s.handlers() {
		if err := s.endpoint(verb, func(ctx context.Context, m commands.Meta, req micro.Request) error {
			answer, err := h(ctx, m, req.Data())
			if err != nil {
				return err
			}
			return respond(req, answer)
		}); err != nil {
			return err
		}
	}
	for verb, h := range map[commands.Verb]stream{commands.Replay: s.replay, commands.Verify: s.verify} {
		if err := s.endpoint(verb, h); err != nil {
			return err
		}
	}
	if err := s.Answers.FlushTimeout(answerWithin); err != nil { // who is told that we serve is heard
		return fmt.Errorf("listen for commands: %w", err)
	}
	return nil
}

// stream answers one request in as many messages as it takes.
type stream func(ctx context.Context, m commands.Meta, req micro.Request) error

func (s *Service) endpoint(verb commands.Verb, h stream) error {
	err := s.micro.AddEndpoint(string(verb), micro.HandlerFunc(func(req micro.Request) {
		select {
		case s.slots <- struct{}{}:
			go func() {
				defer func() { <-s.slots }()
				s.answer(verb, h, req)
			}()
		default:
			s.refuse(req, busyEverywhere())
		}
	}), micro.WithEndpointSubject("cmd.*."+string(verb)+".*"))
	if err != nil {
		return fmt.Errorf("listen for %s: %w", verb, err)
	}
	return nil
}

func (s *Service) answer(verb commands.Verb, h stream, req micro.Request) {
	began := time.Now()
	err := s.handle(verb, h, req)
	word := "ok"
	if err != nil {
		word = string(s.refuse(req, err))
	}
	if s.Observe != nil {
		s.Observe(string(verb), word, time.Since(began))
	}
}

func (s *Service) handle(verb commands.Verb, h stream, req micro.Request) error {
	intercom, _, actor, err := events.ParseRequest(req.Subject())
	if err != nil {
		return commands.Refuse(commands.BadRequest, "use lower-case letters, digits and dashes, at most 63", "the name of the intercom is not one")
	}
	if !s.mayHear(intercom, actor, req.Reply()) {
		return errForged
	}
	if (intercom == events.Whole) != verb.OnWhole() {
		return commands.Refuse(commands.BadRequest, "see gatebook --help", "%s is not asked for like this", verb)
	}
	m := commands.Meta{Intercom: intercom, Actor: actor, Via: events.ViaCLI, EventID: s.newID()}
	if actor.Kind == events.IntercomActor {
		m.Via = events.ViaKeypad
	}
	parent := s.ctx
	if verb.OnWhole() { // a stop does not wait for a long reading
		parent = s.waits
	}
	ctx, cancel := context.WithTimeout(parent, answerWithin)
	defer cancel()
	if err := s.admit(ctx, m, verb); err != nil {
		return err
	}
	return h(ctx, m, req)
}

// admit turns away who acts beyond a role before anything is kept for the
// intercom that they name. It is decided again where the event is.
func (s *Service) admit(ctx context.Context, m commands.Meta, v commands.Verb) error {
	if v.OnWhole() {
		return commands.Admit(projections.State{Intercom: m.Intercom}, m, v)
	}
	st, err := s.current(ctx, m.Intercom)
	if err != nil {
		return s.internal(err)
	}
	return commands.Admit(st, m, v)
}

// errForged is a request whose answer would go where the caller does not listen.
var errForged = errors.New("the reply subject is not the caller's own")

// mayHear: an answer goes to the caller's own inbox or nowhere. For an intercom
// that inbox names the enrolled key, so a former enrolment that a server still
// lets in is answered nothing and does nothing.
func (s *Service) mayHear(intercom string, a events.Actor, reply string) bool {
	inbox := events.PersonInbox(a.ID)
	if a.Kind == events.IntercomActor {
		st := s.views.State(intercom)
		if st.Enrolled == "" {
			return false
		}
		inbox = events.IntercomInbox(a.ID, st.Enrolled)
	}
	return strings.HasPrefix(reply, inbox+".")
}

func (s *Service) refuse(req micro.Request, err error) commands.Code {
	if errors.Is(err, errForged) {
		s.Log.Warn("a request was thrown away", "subject", req.Subject(), "error", err)
		return commands.NotAllowed
	}
	r := (*commands.Refusal)(nil)
	if !errors.As(s.internal(err), &r) {
		r = commands.Refuse(commands.Unavailable, "try again", "the ledger cannot do this now")
	}
	body, err := json.Marshal(map[string]*commands.Refusal{"error": r})
	if err == nil {
		// Not req.Error: it notes the refusal where micro reads it when the
		// handler returns, and ours has returned by now.
		err = req.Respond(body, micro.WithHeaders(micro.Headers{
			micro.ErrorCodeHeader: {string(r.Code)}, micro.ErrorHeader: {r.Message},
		}))
	}
	if err != nil {
		s.Log.Warn("a refusal could not be sent", "subject", req.Subject(), "error", err)
	}
	return r.Code
}

func respond(req micro.Request, answer any) error {
	if err := req.RespondJSON(answer); err != nil {
		return fmt.Errorf("send answer: %w", err)
	}
	return nil
}

func busyEverywhere() error {
	return commands.Refuse(commands.Unavailable, "try again in a second", "the ledger has as many requests as it can answer at once")
}

// newID makes the id of an event or of a command of our own. Its time is the
// system's, whatever the ledger thinks of it: it orders nothing.
func (s *Service) newID() string {
	return ulid.MustNew(ulid.Timestamp(time.Now()), s.Rand).String()
}
