//go:build !linux

package gate

import (
	"errors"
	"log/slog"
	"time"
)

// newExec refuses: to kill a driver with all its children, and never another
// process that was given the same number, takes what only Linux is known to
// give here.
func newExec(string, *slog.Logger, time.Duration) (Driver, error) {
	return nil, errors.New("parse driver: exec needs linux; use log or http(s)")
}
