package serve

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	"gatebook/events"
	"gatebook/ops/node"
	"gatebook/ops/verify"
	"gatebook/ops/web"

	"github.com/oklog/ulid/v2"
)

// openWeb serves health and metrics from the start, so that who waits for a
// long opening sees that it is under way.
func (s *server) openWeb(context.Context) error {
	addresses := []string{s.HTTP, s.Metrics}
	handlers := web.Handlers{Ready: s.isReady, Metrics: s.metrics.Handler()}
	for i, address := range addresses {
		if address == "" {
			continue
		}
		h := handlers.All()
		if i == 1 {
			h = handlers.MetricsOnly()
		}
		w, err := web.Start(address, h, s.Log)
		if err != nil {
			return err
		}
		s.web = append(s.web, w)
		s.later(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return w.Close(ctx)
		})
	}
	return nil
}

// announce makes the operator's secrets if they are missing and says where the
// ledger is reached.
func (s *server) announce() (node.Address, error) {
	a := node.Address{NATS: s.node.URL(), PID: os.Getpid()}
	if len(s.web) > 0 {
		a.HTTP = "http://" + s.web[0].Addr()
	}
	creds, err := s.node.Issuer().Person(events.Operator.ID)
	if err != nil {
		return a, err
	}
	token := make([]byte, 32)
	if _, err := rand.Read(token); err != nil {
		return a, fmt.Errorf("make owner token: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(token) + "\n"
	for name, secret := range map[string][]byte{"owner.creds": creds, "owner.token": []byte(text)} {
		if err := node.CreateSecret(s.folder.Path(name), secret); err != nil && !errors.Is(err, node.ErrExists) {
			return a, err
		}
	}
	return a, s.folder.WriteAddress(a)
}

// readAll reads the whole ledger once in the background: what the open could
// not see at a glance. What it finds wrong is said, and where it is one
// intercom's events nothing more is decided for that intercom (law 6).
func (s *server) readAll(ctx context.Context) {
	a, err := s.check(ctx, verify.Options{Bad: func(sequence uint64) { s.halt(ctx, sequence) }})
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		s.Log.Warn("the ledger could not be read through; verify it by hand", "error", err)
	case a.OK:
		s.Log.Info("the whole ledger was read and is well", "events", a.Events)
	default:
		s.metrics.Rot()
		s.Log.Error("the ledger is not well", "message", a.Message, "sequence", a.FirstBadSequence, "law", a.Law, "next", a.Next)
	}
}

func (s *server) halt(ctx context.Context, sequence uint64) {
	why := fmt.Sprintf("the event at sequence %d is not well", sequence)
	e, err := s.log.At(ctx, sequence)
	if err == nil {
		s.service.Views().Halt(e.Intercom, why)
		return
	}
	for _, id := range s.service.Views().Intercoms() { // it may have been anybody's
		s.service.Views().Halt(id, why)
	}
}

// Keys of the last day whose code no state knows were stored by a command that
// a crash cut off: a code stays in the state for a day after its end.
const (
	sweptFrom = 23 * time.Hour
	sweptTo   = time.Minute
)

func (s *server) sweep(ctx context.Context) {
	known := map[string]bool{}
	views := s.service.Views()
	now := time.Now()
	for _, id := range views.Intercoms() {
		st := views.State(id)
		if st.Stopped != "" { // its codes may be what this version does not know
			s.Log.Warn("keys are not swept while there are events that this version does not understand", "intercom", id)
			return
		}
		for _, c := range st.Codes {
			known[c.ID] = true
		}
	}
	n, err := s.keys.Sweep(ctx, func(code string) bool {
		id, err := ulid.ParseStrict(code)
		return err != nil || known[code] || now.Sub(ulid.Time(id.Time())) > sweptFrom
	}, now.Add(-sweptTo))
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("keys without a code could not be swept", "error", err)
	}
	if n > 0 {
		s.Log.Info("keys without a code were swept", "keys", n)
	}
}
