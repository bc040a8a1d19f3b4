package views

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// keepEvery is how often changed views are written behind. A crash costs the
// next start the reading of what was stored since.
const keepEvery = 2 * time.Second

// writeAgain is the pause after a lost race that a replica does not show yet.
const writeAgain = 10 * time.Millisecond

// keeper is what is to be written behind.
type keeper struct {
	kv jetstream.KeyValue

	mu    sync.Mutex
	dirty map[string]bool

	writing sync.Mutex // one writer at a time
	seen    bool       // the mark was there at the last look
}

func (k *keeper) touch(intercom string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dirty == nil {
		k.dirty = map[string]bool{}
	}
	k.dirty[intercom] = true
}

func (k *keeper) takeDirty() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := make([]string, 0, len(k.dirty))
	for id := range k.dirty {
		ids = append(ids, id)
	}
	k.dirty = nil
	return ids
}

// Keep writes changed views behind until ctx ends. It never stands in the way
// of an answer; what it cannot write it tries again.
func (v *Views) Keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := v.Write(ctx); err != nil && ctx.Err() == nil {
				v.config.Log.Warn("views are not written; a start would read more of the ledger", "error", err)
			}
		}
	}
}

// Write writes what has changed and then the mark up to which the views are
// complete. A crash in between leaves views that are newer than the mark, which
// the next start sees.
func (v *Views) Write(ctx context.Context) error {
	v.keep.writing.Lock()
	defer v.keep.writing.Unlock()
	if err := v.room(); err != nil {
		return err
	}
	if err := v.ensureBucket(ctx); err != nil {
		return err
	}
	low := v.low.mark()
	ids := v.keep.takeDirty()
	for i, id := range ids {
		if err := v.writeOne(ctx, id); err != nil {
			for _, again := range ids[i:] {
				v.keep.touch(again)
			}
			return err
		}
	}
	if len(ids) == 0 && v.keep.seen {
		return nil
	}
	raw, err := json.Marshal(complete{Mark: low, Intercoms: v.countKept()})
	if err != nil {
		return fmt.Errorf("write views: %w", err)
	}
	if err := v.ledger.Durable().Wait(ctx, low.Sequence); err != nil {
		return fmt.Errorf("write views: %w", err)
	}
	if _, err := v.keep.kv.Put(ctx, markKey, raw); err != nil {
		return fmt.Errorf("write views: %w", err)
	}
	v.keep.seen = true
	return nil
}

func (v *Views) room() error {
	if v.config.Room == nil {
		return nil
	}
	if err := v.config.Room(); err != nil {
		return fmt.Errorf("write views: %w", err)
	}
	return nil
}

// countKept is how many views the bucket has, as far as this process knows.
func (v *Views) countKept() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	n := 0
	for _, e := range v.entries {
		if e.kept != 0 {
			n++
		}
	}
	return n
}

// ensureBucket makes the bucket again if somebody threw it away, and writes
// every view into it.
func (v *Views) ensureBucket(ctx context.Context) error {
	_, err := v.keep.kv.Get(ctx, markKey)
	if err == nil {
		return nil
	}
	if v.keep.seen || !errors.Is(err, jetstream.ErrKeyNotFound) {
		kv, err := v.openBucket(ctx)
		if err != nil {
			return fmt.Errorf("open bucket %s: %w", Bucket, err)
		}
		v.keep.kv, v.keep.seen = kv, false
		for _, id := range v.Intercoms() {
			v.entry(id, true).kept = 0
			v.keep.touch(id)
		}
	}
	return nil
}

// put writes a view over the revision that was there, 0 for none. A view that
// somebody deleted has left a marker, which only Create looks past.
func (v *Views) put(ctx context.Context, key string, raw []byte, over uint64) (uint64, error) {
	if over == 0 {
		return v.keep.kv.Create(ctx, key, raw)
	}
	return v.keep.kv.Update(ctx, key, raw, over)
}

// writeOne writes one view, unless another process has written a newer one.
func (v *Views) writeOne(ctx context.Context, intercom string) error {
	e := v.entry(intercom, true)
	if err := v.room(); err != nil {
		return err
	}
	for {
		s := *e.state.Load()
		if err := v.ledger.Durable().Wait(ctx, s.Sequence); err != nil {
			return fmt.Errorf("write view of %s: %w", intercom, err)
		}
		raw, err := Encode(s)
		if err != nil {
			return err
		}
		kept, err := v.put(ctx, key(intercom), raw, e.kept)
		if err == nil {
			e.kept = kept
			return nil
		}
		lost := errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
		there, again := v.keep.kv.Get(ctx, key(intercom))
		none := errors.Is(again, jetstream.ErrKeyNotFound)
		switch {
		case none && e.kept != 0:
			e.kept = 0
		case lost && (none || again == nil && there.Revision() == e.kept):
			// Another ledger was first, and the replica that was read lags.
			select {
			case <-ctx.Done():
				return fmt.Errorf("write view of %s: %w", intercom, ctx.Err())
			case <-time.After(writeAgain):
			}
		case again != nil || there.Revision() == e.kept:
			return fmt.Errorf("write view of %s: %w", intercom, err)
		default:
			e.kept = there.Revision()
			if newer, err := Decode(there.Value()); err == nil && newer.Sequence >= s.Sequence {
				return nil
			}
		}
	}
}
