package intercom

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"gatebook/events"
	"gatebook/intercom/gate"
	"gatebook/projections"
)

// Config is what an intercom is started with. URL, Credentials, StateDir and
// Gates are required; the rest has defaults.
type Config struct {
	URL         string
	Credentials Credentials
	// StateDir is the intercom's own folder; it belongs to one process at a time.
	StateDir string
	Gates    *gate.Gates
	Log      *slog.Logger
	// Direction is what bare digits mean; empty: entry, or exit for a guest who
	// is inside.
	Direction projections.Direction

	// Boot is a monotonic clock that counts suspend. Wall is the intercom's own,
	// which is believed in nothing that could open or that must last.
	Boot func() time.Duration
	Wall func() time.Time
	Rand io.Reader
	// Options are given to the NATS client after our own.
	Options []nats.Option
}

func (c Config) filled() (Config, error) {
	switch {
	case c.URL == "":
		return c, errors.New("start intercom: no address of a ledger")
	case !events.ValidID(c.Credentials.Intercom):
		return c, errors.New("start intercom: no enrolment")
	case c.StateDir == "":
		return c, errors.New("start intercom: no state folder")
	case c.Gates == nil:
		return c, errors.New("start intercom: no gates")
	case c.Direction != "" && c.Direction != projections.Entry && c.Direction != projections.Exit:
		return c, errors.New("start intercom: the direction is neither entry nor exit")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Boot == nil {
		c.Boot = bootClock()
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return c, nil
}
