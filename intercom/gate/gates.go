package gate

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// Gates tells each device through its own driver. It never changes after
// ParseGates and is safe for concurrent use.
type Gates struct {
	drivers map[string]Driver
	rest    Driver // for a device that no flag names
}

// ParseGates reads "DEVICE=DRIVER" flags. A device named twice is refused:
// which of two drivers opens a gate must not depend on the order of flags.
func ParseGates(specs []string, log *slog.Logger, limit time.Duration) (*Gates, error) {
	// Compiled here: flags are read once, and the package keeps no variables.
	grammar := regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	g := &Gates{drivers: make(map[string]Driver, len(specs)), rest: logDriver{log: log}}
	for i, spec := range specs {
		device, driver, ok := strings.Cut(spec, "=")
		if !ok || !grammar.MatchString(device) {
			return nil, fmt.Errorf("parse gate: not DEVICE=DRIVER with a device of a-z, 0-9 and - [flag %d]", i+1)
		}
		if _, twice := g.drivers[device]; twice {
			return nil, fmt.Errorf("parse gate: device named twice [%s]", device)
		}
		d, err := Parse(driver, log, limit)
		if err != nil {
			return nil, fmt.Errorf("parse gate [%s]: %w", device, err)
		}
		g.drivers[device] = d
	}
	return g, nil
}

// Open gives the order to the device's driver, or writes it to the log where
// the device has none.
func (g *Gates) Open(ctx context.Context, o Order) Outcome {
	if d, ok := g.drivers[o.Device]; ok {
		return d.Open(ctx, o)
	}
	return g.rest.Open(ctx, o)
}
