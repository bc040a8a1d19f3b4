package intercom

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"gatebook/events"
	"gatebook/events/seal"
	"gatebook/intercom/gate"
	"gatebook/intercom/journal"
	"gatebook/projections"
)

const (
	// patience is how long attempts wait for the first catch-up, in all.
	patience = 5 * time.Second
	// saveEvery is how often the table goes to disk at most.
	saveEvery = time.Second
	// farewell bounds what is still said to the ledger at the end.
	farewell = 2 * time.Second
)

// Intercom is one process at one gate. Its methods may be called from anywhere
// and at any time.
type Intercom struct {
	log       *slog.Logger
	boot      func() time.Duration
	wall      func() time.Time
	direction projections.Direction
	gates     *gate.Gates
	journal   *journal.Journal
	memory    *memory
	line      *line
	debts     debts
	tombs     tombs

	matcher *matcher

	guest  sync.Mutex // one guest at a time
	naming sync.Mutex // owns rand
	rand   io.Reader

	caughtUp    *door // open after the first catch-up, or once nobody waits for it any more
	wantSync    bell
	wantReceipt bell
	wantSettle  bell
	wantSave    bell
	// acknowledged is the last receipt that the ledger took; the receipts worker
	// owns it, and after its end Close.
	acknowledged events.Link

	stop    context.CancelFunc
	workers sync.WaitGroup
	closing sync.Once
}

// Start takes the state folder and begins to connect, follow and catch up. It
// does not wait for the ledger: an error means that it could never work. ctx
// bounds nothing but the start; what runs is ended by Close.
func Start(ctx context.Context, c Config) (*Intercom, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("start intercom: %w", err)
	}
	i := assemble(c, j)
	if err := i.start(ctx, c.Credentials.key); err != nil {
		_ = i.Close()
		return nil, fmt.Errorf("start intercom: %w", err)
	}
	return i, nil
}

func assemble(c Config, j *journal.Journal) *Intercom {
	i := &Intercom{
		log: c.Log, boot: c.Boot, wall: c.Wall, direction: c.Direction, gates: c.Gates, journal: j,
		rand:     c.Rand,
		caughtUp: newDoor(), wantSync: newBell(), wantReceipt: newBell(), wantSettle: newBell(), wantSave: newBell(),
		stop: func() {},
	}
	i.memory = &memory{
		intercom: c.Credentials.Intercom, publicKey: c.Credentials.PublicKey, log: c.Log, disk: j,
		clock: &clock{wall: c.Wall},
	}
	i.tombs = tombs{disk: j, log: c.Log}
	i.memory.table.Store(new(table))
	i.line = newLine(c, i.follow, i.wantSync.ring)
	return i
}

func (i *Intercom) start(ctx context.Context, key seal.Key) (err error) {
	if i.matcher, err = newMatcher(key); err != nil {
		return err
	}
	if err := i.journal.Identity(i.memory.intercom); err != nil {
		return err
	}
	revoked, err := i.tombs.load()
	if err != nil {
		return err
	}
	i.memory.load(revoked)
	if err := i.loadDebts(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	time.AfterFunc(patience, i.caughtUp.open)
	if err := i.line.dial(); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	i.stop = stop
	for _, work := range []func(context.Context){i.keepUp, i.giveReceipts, i.settleDebts, i.saveBehind} {
		i.workers.Go(func() { work(running) })
	}
	return nil
}

// Close waits for the guest who is being served, then says to the ledger what
// it is still owed, saves the table and gives the state folder back. What the
// ledger could not be told within 2 s is on disk and said at the next start.
func (i *Intercom) Close() error {
	i.closing.Do(func() {
		i.guest.Lock()
		defer i.guest.Unlock()
		i.stop()
		i.workers.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		i.lastWords(ctx)
		i.line.close(ctx)
		i.tombs.keep(i.memory.table.Load())
		if err := i.memory.save(); err != nil {
			i.log.Error("the table could not be saved", "error", err)
		}
		if err := i.journal.Close(); err != nil {
			i.log.Error("the state folder could not be closed", "error", err)
		}
	})
	return nil
}

// lastWords brings the table up to what the ledger has answered, and gives the
// receipt for that. The workers have ended.
func (i *Intercom) lastWords(ctx context.Context) {
	s := i.line.session.Load()
	if s == nil {
		return
	}
	if _, g := i.memory.glance(s); !g.current {
		if _, _, err := i.sync(ctx); err != nil {
			i.log.Info("could not catch up at the end", "error", err)
		}
	}
	i.payAll(ctx)
	if err := i.giveReceipt(ctx); err != nil {
		i.log.Info("the last receipt was not taken; it will be given at the next start", "error", err)
	}
}

// saveBehind writes the table to disk after it has changed, at most once a
// second.
func (i *Intercom) saveBehind(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.wantSave:
		}
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		if err := i.memory.save(); err != nil {
			i.log.Error("the table could not be saved", "error", err)
		}
		pause.Reset(saveEvery)
	}
}

// Status is how an intercom stands.
type Status struct {
	// Connected: the line to the ledger's server is up.
	Connected bool `json:"connected"`
	// Current: over this line the table was brought up to date.
	Current bool `json:"current"`
	// Refused: the server does not take this enrolment.
	Refused bool `json:"refused"`
	// Revision is how far the events have been applied.
	Revision uint64 `json:"revision"`
}

// Status tells how the intercom stands now.
func (i *Intercom) Status() Status {
	t, g := i.memory.glance(i.line.session.Load())
	return Status{Connected: g.connected, Current: g.current, Refused: i.line.refused.Load(), Revision: t.state.Revision}
}

// newCommand makes a command id. Nothing rests on the time in it, so a wall
// clock that is out of range only makes it zero.
func (i *Intercom) newCommand() (string, error) {
	ms := i.wall().UnixMilli()
	if ms < 0 || uint64(ms) > ulid.MaxTime() {
		ms = 0
	}
	i.naming.Lock()
	defer i.naming.Unlock()
	id, err := ulid.New(uint64(ms), i.rand)
	if err != nil {
		return "", fmt.Errorf("make command id: %w", err)
	}
	return id.String(), nil
}
