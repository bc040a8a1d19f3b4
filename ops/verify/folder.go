package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/ops/node"
	"gatebook/projections/views"

	"golang.org/x/sys/unix"
)

// viewsStream is the stream under the bucket of views.
const viewsStream = "KV_" + views.Bucket

// ErrNoLedger is what a folder gives that never held a ledger.
var ErrNoLedger = errors.New("there is no ledger in the folder")

// folder is a data folder that no server has open.
type folder struct {
	dir    string
	log    *slog.Logger
	stores []*store
	ledger *store // nil: there is none
	head   events.Mark
	// headless: there is no head at all.
	headless bool
	told     func(done, of uint64)
	*audit   // what the files themselves say
}

// Folder verifies the ledger of a data folder that is not served, twice: it reads
// the files as they lie, and then what a server makes of a private copy of them.
// Opening repairs: a server cuts off what it cannot read and may say nothing, so
// only the files themselves can tell what was there. The folder is never written;
// node.ErrInUse where a process has it.
//
// The copy has the events and the views, never the keys, which must not be where
// destroying cannot reach them. It is in the system's folder for temporary files
// and gone when Folder returns.
func Folder(ctx context.Context, dir string, log *slog.Logger, progress func(done, of uint64)) (commands.VerifyAnswer, error) {
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	f := &folder{dir: dir, log: log, told: progress, audit: newAudit()}
	if err := f.verify(ctx); err != nil {
		return commands.VerifyAnswer{}, fmt.Errorf("verify %s: %w", dir, err)
	}
	return f.answer(f.read), nil
}

func (f *folder) verify(ctx context.Context) error {
	unlock, err := shareLock(f.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if f.stores, err = findStores(f.dir); err != nil {
		return err
	}
	if err := f.readHead(); err != nil {
		return err
	}
	if err := f.findLedger(); err != nil || f.ledger == nil {
		return err
	}
	keys, err := f.scan(ctx)
	if err != nil {
		return err
	}
	return f.compareWithServer(ctx, keys)
}

// shareLock keeps servers away from the folder while it is read. Where there is
// no lock file, no server has ever had it.
func shareLock(dir string) (unlock func(), err error) {
	lock, err := os.Open(filepath.Join(dir, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return func() { lock.Close() }, nil
	}
	lock.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w, verify it through its server or stop that first", node.ErrInUse)
	}
	return nil, fmt.Errorf("lock: %w", err)
}

func (f *folder) readHead() error {
	master, err := seal.LoadMaster(filepath.Join(f.dir, "master.key"), false)
	if errors.Is(err, fs.ErrNotExist) && len(f.stores) == 0 {
		return ErrNoLedger
	}
	if err != nil {
		return err
	}
	key := master.HeadKey()
	head := ledger.NewHead(filepath.Join(f.dir, "head"), key[:])
	f.headless = head.Missing()
	f.head, err = head.Read()
	if errors.Is(err, ledger.ErrRot) {
		f.bad(0, 6, "the head is damaged or was not written by this ledger, so nothing vouches for the end of the ledger")
		return nil
	}
	f.witnesses.call(f.head, "the head")
	return err
}

func (f *folder) findLedger() error {
	for _, s := range f.stores {
		if s.name != events.Ledger {
			continue
		}
		if f.ledger != nil {
			return fmt.Errorf("there are two ledgers, %s and %s: leave only the one whose account is in accounts.json", f.ledger.dir, s.dir)
		}
		f.ledger = s
	}
	if f.ledger == nil && f.head.Sequence == 0 && f.first == nil {
		return ErrNoLedger
	}
	if f.ledger == nil {
		f.bad(1, 6, "the whole ledger is missing: the head was made from %d events", f.head.Sequence)
	}
	return nil
}

// compareWithServer holds what the files say against what a server makes of a
// copy of them. Damaged records are kept from servers: one flipped bit of a
// sequence makes them fill their memory. Whatever else is wrong, the copy may be
// beyond opening; it has been found then.
func (f *folder) compareWithServer(ctx context.Context, keys map[string]bool) error {
	if f.ledger.damaged {
		return nil
	}
	served, err := f.serveCopy(ctx)
	if err != nil {
		if ctx.Err() != nil || f.first == nil {
			return err
		}
		f.log.Info("the damaged ledger cannot be opened", "error", err)
		return nil
	}
	if err := served.checkKeys(func(code string) (bool, error) { return keys[code], nil }); err != nil {
		return err
	}
	if served.read != f.read && served.first == nil {
		f.bad(min(served.read, f.read)+1, 6, "the files hold %d events, and a server finds %d in them", f.read, served.read)
	}
	f.join(served.findings)
	f.read = max(f.read, served.read)
	return nil
}
