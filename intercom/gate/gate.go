// Package gate tells a gate device to open.
//
// In comes an Order: which device, which direction, and the attempt (the
// command id) that it belongs to. Out comes one Outcome, always, within the
// driver's limit and a second.
//
// What always holds:
//   - the fact is on disk before Open is called (law 4); this package records
//     nothing, so a crash inside Open leaves an attempt whose gate may or may
//     not have been told
//   - an order is given at most once; nothing here retries
//   - Failed is definite: the device was never told, or said itself that it did
//     not open. Whatever is uncertain is Timeout, because Failed puts a code
//     back and an opened gate must not be paid for with a second entry (law 1)
//   - nothing that came over the network reaches the arguments of a process,
//     and what a device answers over the network is never echoed
package gate

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// Order is one request to open. It carries no digits and no names.
type Order struct {
	Device    string
	Direction string // entry or exit
	Attempt   string // command id, a ULID
}

// Outcome is what is known after the gate was told.
type Outcome string

const (
	Done    Outcome = "done"    // the device said that it opened
	Failed  Outcome = "failed"  // definitely did not open
	Timeout Outcome = "timeout" // may have opened
)

// Driver opens one kind of gate device. Open is safe for concurrent use and
// keeps nothing between calls, so a driver needs no closing.
type Driver interface {
	Open(ctx context.Context, o Order) Outcome
}

// Parse makes the driver that spec names: "log", "exec:CMD" or a URL beginning
// with http:// or https://. A limit of zero leaves the driver its own (5 s for
// exec, 2 s for http). Errors never repeat the spec: a command line or a URL
// may hold a secret.
func Parse(spec string, log *slog.Logger, limit time.Duration) (Driver, error) {
	if cmd, ok := strings.CutPrefix(spec, "exec:"); ok {
		return newExec(cmd, log, limit)
	}
	if url, ok := webURL(spec); ok {
		return newWeb(url, log, limit)
	}
	if spec == "log" {
		return logDriver{log: log}, nil
	}
	return nil, errors.New("parse driver: want log, exec:CMD, or an http or https URL")
}

// webURL accepts the URL by itself and also after a prefix of its own
// ("http:http://..."), since "http(s):URL" can be read both ways.
func webURL(spec string) (string, bool) {
	for _, prefix := range []string{"http:http://", "http:https://", "https:https://"} {
		if strings.HasPrefix(spec, prefix) {
			_, url, _ := strings.Cut(spec, ":")
			return url, true
		}
	}
	ok := strings.HasPrefix(spec, "http://") || strings.HasPrefix(spec, "https://")
	return spec, ok
}

// orDefault is the limit asked for, or the driver's own.
func orDefault(limit, own time.Duration) time.Duration {
	if limit > 0 {
		return limit
	}
	return own
}

// logDriver stands in where no device is wired: it writes the order down and is
// always done.
type logDriver struct{ log *slog.Logger }

func (d logDriver) Open(ctx context.Context, o Order) Outcome {
	d.log.LogAttrs(ctx, slog.LevelInfo, "gate opened", o.attrs()...)
	return Done
}

func (o Order) attrs(more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("device", o.Device),
		slog.String("direction", o.Direction),
		slog.String("attempt", o.Attempt),
	}, more...)
}
