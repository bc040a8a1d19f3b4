package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// What one caller may take of us.
const (
	headerWithin = 5 * time.Second
	readWithin   = 10 * time.Second
	writeWithin  = 30 * time.Second
	idleWithin   = time.Minute
	maxHeader    = 16 << 10
	maxBody      = 1 << 10 // nothing here reads one
)

// Server listens on one port.
type Server struct {
	listener net.Listener
	http     *http.Server
	served   chan struct{}
}

// Start serves h on host:port, port 0 for any free one, until Close. When it
// returns, the port listens.
func Start(addr string, h http.Handler, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for http, choose another address if this one is taken: %w", err)
	}
	s := &Server{listener: l, served: make(chan struct{}), http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       readWithin,
		WriteTimeout:      writeWithin,
		IdleTimeout:       idleWithin,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.With("from", "http").Handler(), slog.LevelDebug),
	}}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("http is no longer served", "address", s.Addr(), "error", err)
		}
	}()
	return s, nil
}

// Addr is where it listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close takes no more requests, waits for those that are being answered until ctx
// ends, and cuts off the rest.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop http: %w", err), s.http.Close())
	}
	<-s.served
	return err
}
