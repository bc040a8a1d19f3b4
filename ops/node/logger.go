package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
)

// logBridge hands what the embedded server says to slog. The server calls it
// with locks of its own held: it must not block or call the server back.
type logBridge struct {
	log       *slog.Logger
	onWarning func(string)
	warnings  atomic.Uint64
	fatal     chan string // the first reason why the server cannot run
}

func newLogBridge(log *slog.Logger, onWarning func(string)) *logBridge {
	if onWarning == nil {
		onWarning = func(string) {}
	}
	return &logBridge{log: log.With("from", "nats-server"), onWarning: onWarning, fatal: make(chan string, 1)}
}

// Noticef is of interest to who looks for a fault, not to who runs a gate.
func (b *logBridge) Noticef(format string, v ...any) { b.log.Debug(fmt.Sprintf(format, v...)) }

// Debugf and Tracef are off in the server.
func (b *logBridge) Debugf(format string, v ...any) { b.log.Debug(fmt.Sprintf(format, v...)) }
func (b *logBridge) Tracef(format string, v ...any) { b.log.Debug(fmt.Sprintf(format, v...)) }

func (b *logBridge) Warnf(format string, v ...any) {
	b.warn(slog.LevelWarn, fmt.Sprintf(format, v...))
}

func (b *logBridge) Errorf(format string, v ...any) {
	b.warn(slog.LevelError, fmt.Sprintf(format, v...))
}

// Fatalf comes when the server gives up. It does not end the process: who
// started the server is told why and ends in good order.
func (b *logBridge) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	select {
	case b.fatal <- text:
	default: // the first reason stands
	}
	b.warn(slog.LevelError, text)
}

func (b *logBridge) warn(level slog.Level, text string) {
	b.warnings.Add(1)
	b.log.Log(context.Background(), level, text)
	b.onWarning(text)
}
