package verify

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatebook/events"
	"gatebook/projections"
	"gatebook/projections/views"

	"github.com/nats-io/nats.go/jetstream"
)

// How the bucket of views names what it holds.
const (
	viewPrefix = "intercom."
	viewMark   = "mark"
)

// keptView is a kept view that is whole: what the events up to its sequence must
// come to.
type keptView struct {
	sequence uint64
	sum      [sha256.Size]byte // of its bytes
}

// readKept takes the kept views before the ledger's end is fixed: views are made
// from durable events only, so none can be newer than that end.
func (a *audit) readKept(ctx context.Context, js jetstream.JetStream) error {
	bucket, err := js.KeyValue(ctx, views.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		a.note("no views are kept")
		return nil
	}
	if err != nil {
		return fmt.Errorf("read views: %w", err)
	}
	watch, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read views: %w", err)
	}
	defer func() { _ = watch.Stop() }() // it ends with its connection at the latest
	var upto complete
	for {
		entry, err := nextEntry(ctx, watch)
		switch {
		case errors.Is(err, errStalled):
			a.off(0, nextView, "a kept view cannot be read: it is damaged")
			return nil
		case err != nil:
			return fmt.Errorf("read views: %w", err)
		case entry == nil:
			a.counted(upto)
			return nil
		case entry.Key() == viewMark:
			upto = a.takeMark(entry.Value())
		default:
			if intercom, ok := strings.CutPrefix(entry.Key(), viewPrefix); ok {
				a.takeKept(intercom, entry.Value())
			}
		}
	}
}

// nextEntry is nil once all that was there has come. The server leaves out what
// it cannot read without a word, and the end may wait for just that.
func nextEntry(ctx context.Context, w jetstream.KeyWatcher) (jetstream.KeyValueEntry, error) {
	quiet := time.NewTimer(stallAfter)
	defer quiet.Stop()
	select {
	case entry, ok := <-w.Updates():
		if !ok {
			return nil, errors.New("the reading was cut short")
		}
		return entry, nil
	case <-quiet.C:
		return nil, errStalled
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// complete is the mark up to which so many views have every event.
type complete struct {
	events.Mark
	Intercoms int `json:"intercoms"`
}

func (a *audit) takeMark(raw []byte) complete {
	var upto complete
	if err := json.Unmarshal(raw, &upto); err != nil {
		a.off(0, nextView, "the mark of the kept views is damaged")
		return complete{}
	}
	a.witnesses.call(upto.Mark, "the mark of the kept views")
	return upto
}

// counted: with views missing the mark is not true, and the next start reads
// everything again.
func (a *audit) counted(upto complete) {
	if n := len(a.kept); n < upto.Intercoms && a.first == nil {
		a.off(0, nextView, "%d of %d views are missing", upto.Intercoms-n, upto.Intercoms)
	}
}

func (a *audit) takeKept(intercom string, raw []byte) {
	a.kept[intercom] = keptView{}
	var made struct{ Fold int }
	if json.Unmarshal(raw, &made) == nil && made.Fold > 0 && made.Fold != projections.Version {
		a.note("the view of %s is of another version and will be rebuilt", intercom)
		return
	}
	s, err := views.Decode(raw)
	if err != nil || s.Intercom != intercom {
		a.off(0, nextView, "the kept view of %s is damaged", intercom)
		return
	}
	a.kept[intercom] = keptView{sequence: s.Sequence, sum: sha256.Sum256(raw)}
	a.witnesses.call(s.Mark(), "the kept view of "+intercom)
}

// compare holds the state against the view that was kept of it, where one was.
func (a *audit) compare(s projections.State) {
	k, ok := a.kept[s.Intercom]
	if !ok || k.sequence != s.Sequence || a.witnesses.denied[s.Sequence] {
		return
	}
	raw, err := views.Encode(s)
	if err != nil || sha256.Sum256(raw) != k.sum {
		a.off(s.Sequence, nextView, "the kept view of %s at sequence %d is not what its events make", s.Intercom, s.Sequence)
	}
}
