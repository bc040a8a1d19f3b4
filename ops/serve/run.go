package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gatebook/commands"
	"gatebook/commands/service"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/ops/clock"
	"gatebook/ops/metrics"
	"gatebook/ops/node"
	"gatebook/ops/space"
	"gatebook/ops/verify"
	"gatebook/ops/web"

	"github.com/prometheus/client_golang/prometheus"
)

// openWithin bounds the opening of a ledger, the reading of its tail included.
const openWithin = 2 * time.Minute

// readAtRest is up to how large a ledger is read as it lies before it is opened:
// that takes well under a second.
const readAtRest = 256 << 20

// stopWithin bounds a clean stop: SIGTERM ends a server within 5 s.
const stopWithin = 3 * time.Second

// Run serves until ctx ends, or until nothing may be told any more: then it
// returns why. Before it returns, all that it answered is on disk.
func Run(ctx context.Context, c Config) (err error) {
	s := &server{Config: c, metrics: metrics.New(prometheus.NewRegistry()), failed: make(chan error, 1)}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	address, err := s.announce()
	if err != nil {
		return err
	}
	if c.Ready != nil {
		c.Ready(address)
	}
	select {
	case <-ctx.Done():
		c.Log.Info("stopping")
		return nil
	case err := <-s.failed:
		return err
	}
}

// errKilled is a process that ended without a clean stop: a sync may have failed
// that nobody could note.
var errKilled = errors.New("the process before did not stop cleanly")

// server is what Run opened so far; close undoes it in reverse.
type server struct {
	Config
	metrics *metrics.Metrics
	folder  *node.Folder
	disk    *disk
	space   *space.Guard
	node    *node.Node
	master  *seal.Master
	keys    *seal.Keys
	log     *ledger.Log
	head    *ledger.Head
	clock   *clock.Clock
	service *service.Service
	web     []*web.Server

	undo   []func() error
	failed chan error
	ready  atomic.Bool // requests are answered
}

func (s *server) later(f func() error) { s.undo = append(s.undo, f) }

func (s *server) close() error {
	var err error
	for i := len(s.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, s.undo[i]())
	}
	return err
}

// open goes from the disk up. Nothing is answered before its last line.
func (s *server) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	for _, step := range []func(context.Context) error{
		s.openFolder, s.openWeb, s.openDisk, s.readAtRest, s.scrub, s.openNode, s.openLedger, s.openKeys, s.openService, s.begin,
	} {
		if ctx.Err() != nil { // told to stop while opening
			return ctx.Err()
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) openFolder(context.Context) error {
	killed := leftover(s.Dir)
	folder, err := node.OpenFolder(s.Dir)
	if err != nil {
		return err
	}
	s.folder, s.clock = folder, clock.System()
	s.later(folder.Close)
	s.disk = &disk{dir: folder.Dir(), log: s.Log}
	if killed { // remembered until a start has come through
		s.disk.mark(errKilled)
	}
	guard, err := space.Open(folder.Dir(), s.Log)
	if err != nil {
		return err
	}
	s.space = guard
	s.later(guard.Close)
	s.background(guard.Run)
	return nil
}

func (s *server) openDisk(context.Context) error {
	if s.URL != "" { // existing servers sync by themselves
		return nil
	}
	if err := s.disk.open(); err != nil {
		return err
	}
	s.later(s.disk.close)
	return nil
}

// readAtRest reads a ledger that is not large before a server opens it.
func (s *server) readAtRest(ctx context.Context) error {
	if s.URL != "" {
		return nil
	}
	return s.refuse(verify.Readable(ctx, s.folder.Dir(), readAtRest))
}

// scrub finishes what a kill left of the destruction of keys; the store must
// not be open. What it cannot read is left to the verifier.
func (s *server) scrub(context.Context) error {
	if s.URL != "" {
		return nil
	}
	n, err := seal.Scrub(s.folder.Dir())
	if err != nil && !errors.Is(err, seal.ErrUnread) {
		return err
	}
	if n > 0 || err != nil {
		s.Log.Warn("destroyed keys were left behind by a kill and are erased now", "erased", n, "unread", err)
	}
	return nil
}

func (s *server) openNode(context.Context) (err error) {
	if s.URL != "" {
		s.node, err = node.Join(s.URL, s.Creds, s.Log)
	} else {
		s.node, err = node.Start(node.Config{
			Folder: s.folder, Listen: s.Listen, SyncAlways: !s.disk.shared(), Log: s.Log, ReadyWithin: openWithin,
			OnWarning: func(string) { s.metrics.ServerWarning() },
		})
	}
	if err != nil {
		return err
	}
	s.later(s.node.Close)
	return nil
}

func (s *server) openLedger(ctx context.Context) error {
	if err := s.openMaster(); err != nil {
		return err
	}
	nc, err := s.node.Ledger()
	if err != nil {
		return err
	}
	c := ledger.Config{Replicas: s.Replicas, OnSync: s.metrics.Sync, OnFail: s.fatal}
	if s.URL == "" && s.disk.shared() {
		c.Sync = s.disk.sync
	}
	if s.log, err = ledger.Open(ctx, nc, c); err != nil {
		return s.refuse(err)
	}
	s.later(func() error { s.log.Close(); return nil })
	key := s.master.HeadKey()
	s.head = ledger.NewHead(s.folder.Path("head"), key[:])
	return s.refuse(s.checkHead(ctx))
}

// checkHead compares the stream with the head. An embedded ledger has one before
// its first event, so that events without a head are a ledger whose end nothing
// vouches for. On existing servers a ledger with a new folder has none yet.
func (s *server) checkHead(ctx context.Context) error {
	if s.head.Missing() && s.URL == "" {
		last, err := s.log.LastSequence(ctx)
		switch {
		case err != nil:
			return err
		case last > 0:
			return fmt.Errorf("%w: there are %d events and no head to vouch for the end of them", ledger.ErrRot, last)
		}
		return s.head.Write(events.Mark{})
	}
	head, err := s.head.Read()
	if err != nil {
		return err
	}
	return s.log.Check(ctx, head)
}

// openMaster takes the master key, and makes one for a ledger that is new. On a
// cluster all ledgers share the one that lies beside their bundle.
func (s *server) openMaster() (err error) {
	path, isNew := s.folder.Path("master.key"), false
	if s.URL != "" {
		path = filepath.Join(filepath.Dir(s.Creds), "master.key")
	} else {
		_, err := os.Stat(s.folder.Path("head"))
		isNew = errors.Is(err, os.ErrNotExist)
	}
	s.master, err = seal.LoadMaster(path, isNew)
	return err
}

func (s *server) openKeys(ctx context.Context) (err error) {
	s.keys, err = seal.OpenKeys(ctx, s.log.JetStream(), s.master, s.Replicas)
	return err
}

func (s *server) openService(ctx context.Context) error {
	appends, err := s.node.Ledger()
	if err != nil {
		return err
	}
	answers, err := s.node.Answers()
	if err != nil {
		return err
	}
	s.service, err = service.New(ctx, service.Config{
		Appends: appends, Answers: answers, Ledger: s.log, Keys: s.keys, Master: s.master,
		Issuer: s.node.Issuer(), End: s.node.Revoke, Space: s.space, Clock: s.clock.Now, Rand: rand.Reader,
		Log: s.Log, Shared: s.URL != "", Replicas: s.Replicas,
		Observe: s.metrics.Command, Applied: s.metrics.Event,
		Verify: s.verify, Fatal: s.fatal,
	})
	return s.refuse(err)
}

// refuse explains why a ledger that is not whole is not served.
func (s *server) refuse(err error) error {
	if errors.Is(err, ledger.ErrRot) || errors.Is(err, events.ErrChain) || errors.Is(err, events.ErrEnvelope) {
		return fmt.Errorf("refusing to serve by law 6, the log is the only truth: %w; see what is missing with: gatebook verify --data %s", err, s.folder.Dir())
	}
	return err
}

// begin answers requests; from here on people are told things.
func (s *server) begin(ctx context.Context) error {
	s.background(func(ctx context.Context) {
		if err := s.head.Keep(ctx, s.log.Durable()); err != nil {
			s.fatal(fmt.Errorf("keep head: %w", err))
		}
	})
	s.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
		defer cancel()
		return s.service.Stop(ctx)
	})
	if err := s.service.Start(); err != nil {
		return err
	}
	s.disk.clear()
	s.background(s.readAll)
	s.background(s.sweep)
	s.watch()
	s.ready.Store(true)
	o := s.service.Views().Opened()
	s.Log.Info("ledger is open", "durability", s.disk.describe(s.URL != ""), "views", o.Views, "rebuilt", o.Rebuilt, "events_read", o.Events)
	return ctx.Err()
}

// background runs f until the server stops. What is started later stops first.
func (s *server) background(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	s.later(func() error {
		cancel()
		<-done
		return nil
	})
}

// fatal ends the server: nothing may be told any more.
func (s *server) fatal(err error) {
	if errors.Is(err, ledger.ErrBarrier) {
		s.disk.mark(err)
	}
	select {
	case s.failed <- err:
	default:
	}
}

// verify reads the whole ledger and compares the kept views with it.
func (s *server) verify(ctx context.Context, progress func(done, of uint64)) (commands.VerifyAnswer, error) {
	return s.check(ctx, verify.Options{Views: true, Progress: progress})
}

func (s *server) check(ctx context.Context, o verify.Options) (commands.VerifyAnswer, error) {
	head, err := s.head.Read()
	if errors.Is(err, ledger.ErrRot) {
		law := 6
		return commands.VerifyAnswer{Law: &law, Message: err.Error(), Next: "stop the ledger and verify its folder"}, nil
	}
	if err != nil {
		return commands.VerifyAnswer{}, err
	}
	o.Head = head
	return verify.Ledger(ctx, s.log, o)
}

func (s *server) isReady() error {
	if !s.ready.Load() {
		return errors.New("the ledger is being opened")
	}
	if s.log.Durable().Failed() != nil { // its text names folders
		return ledger.ErrBarrier
	}
	_, err := s.clock.Now()
	return err
}
