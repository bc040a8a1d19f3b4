package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"gatebook/events"
	"gatebook/events/ledger"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// serveCopy opens a private copy with a server of our own, which nobody else can
// reach, and reads what that makes of it.
func (f *folder) serveCopy(ctx context.Context) (*audit, error) {
	dir, err := os.MkdirTemp("", "gatebook-verify-*") // mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	stores, fresh := f.served()
	if err := copyStores(ctx, dir, stores); err != nil {
		return nil, fmt.Errorf("make a private copy: %w", err)
	}
	said := &listener{log: f.log, dir: dir}
	nc, stop, err := serve(dir, said)
	if err != nil {
		return nil, err
	}
	defer stop()
	if !fresh { // opening after a kill is not silent
		said.forget()
	}
	a, err := f.readServed(ctx, nc)
	if err != nil {
		return nil, err
	}
	if warning := said.first(); warning != "" {
		a.bad(0, 6, "the server that opened a copy warns: %s", warning)
	}
	return a, nil
}

// served are the streams that the copy needs, and whether the server that wrote
// them stopped cleanly.
func (f *folder) served() (stores []*store, fresh bool) {
	fresh = true
	for _, s := range f.stores {
		if s.name == events.Ledger || s.name == viewsStream && !s.damaged {
			stores, fresh = append(stores, s), fresh && s.index.fresh
		}
	}
	return stores, fresh
}

func (f *folder) readServed(ctx context.Context, nc *nats.Conn) (*audit, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	_, err = js.Stream(ctx, events.Ledger)
	if errors.Is(err, jetstream.ErrStreamNotFound) { // opening would make a new one
		a := newAudit()
		a.bad(0, 6, "a server does not find the stream %s in these files", events.Ledger)
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(ctx, nc, ledger.Config{Replicas: 1})
	switch {
	case errors.Is(err, ledger.ErrLoosened):
		a := newAudit()
		a.add(finding{law: 6, message: err.Error(), next: nextSettings})
		return a, nil
	case errors.Is(err, ledger.ErrRot):
		a := newAudit()
		a.bad(0, 6, "%v", err)
		return a, nil
	case err != nil:
		return nil, err
	}
	defer l.Close()
	had := f.audit.read
	return read(ctx, l, Options{Head: f.head, Views: true, Progress: func(done, of uint64) { f.told(had+done, had+of) }})
}

// serve runs a server without a port on a store, and connects to it.
func serve(dir string, said *listener) (nc *nats.Conn, stop func(), err error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "gatebook-verify", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: 1 << 60, DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open the copy: %w", err)
	}
	srv.SetLoggerV2(said, false, false, false)
	srv.Start()
	end := func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	if !srv.JetStreamEnabled() {
		end()
		return nil, nil, errors.New("open the copy: the server cannot keep streams here")
	}
	nc, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("gatebook verify"))
	if err != nil {
		end()
		return nil, nil, fmt.Errorf("open the copy: %w", err)
	}
	return nc, func() { nc.Close(); end() }, nil
}

// listener hears what the server says of its files. The server calls it with
// locks of its own held.
type listener struct {
	log *slog.Logger
	dir string

	mu       sync.Mutex
	warnings []string
}

// ofFiles begins what the server says about the files of a stream. It also warns
// of what says nothing about them, such as a machine that is slow.
const ofFiles = "Filestore ["

func (l *listener) first() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.warnings {
		if strings.HasPrefix(w, ofFiles) {
			return w
		}
	}
	return ""
}

func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warnings = nil
}

func (l *listener) hear(format string, v []any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, v...), l.dir+string(os.PathSeparator), "")
	l.log.Debug(text, "from", "nats-server")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warnings = append(l.warnings, text)
}

func (l *listener) Warnf(format string, v ...any)  { l.hear(format, v) }
func (l *listener) Errorf(format string, v ...any) { l.hear(format, v) }

// Fatalf does not end the process: what did not start is noticed.
func (l *listener) Fatalf(format string, v ...any) { l.hear(format, v) }

// What is said of a normal start is of no interest.
func (l *listener) Noticef(string, ...any) {}
func (l *listener) Debugf(string, ...any)  {}
func (l *listener) Tracef(string, ...any)  {}
