package views

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/projections"

	"github.com/nats-io/nats.go/jetstream"
)

// load fills the states: from the kept views as far as they can be believed,
// then from the events after them.
func (v *Views) load(ctx context.Context) error {
	kv, err := v.openBucket(ctx)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", Bucket, err)
	}
	v.keep.kv = kv
	upto, damaged, err := v.loadKept(ctx, kv)
	if errors.Is(err, errUnread) {
		upto, damaged, err = events.Mark{}, nil, v.throwAway(ctx)
	}
	if err != nil {
		return err
	}
	last, err := v.ledger.LastSequence(ctx)
	if err != nil {
		return err
	}
	for _, intercom := range damaged {
		if err := v.rebuild(ctx, intercom, upto.Sequence); err != nil {
			return err
		}
	}
	v.low.reset(upto)
	return v.read(ctx, ledger.Range{From: upto.Sequence + 1, Upto: last})
}

// throwAway makes the bucket anew: its store has rotted, and everything in it
// can be made again.
func (v *Views) throwAway(ctx context.Context) error {
	v.config.Log.Warn("the kept views cannot be read, so they are thrown away and rebuilt")
	if err := v.ledger.JetStream().DeleteKeyValue(ctx, Bucket); err != nil {
		return fmt.Errorf("throw views away: %w", err)
	}
	kv, err := v.openBucket(ctx)
	v.keep.kv = kv
	return err
}

func (v *Views) openBucket(ctx context.Context) (jetstream.KeyValue, error) {
	return ledger.Patiently(ctx, func(ctx context.Context) (jetstream.KeyValue, error) {
		return v.ledger.JetStream().CreateOrUpdateKeyValue(ctx, bucketConfig(v.config.Replicas))
	})
}

func (v *Views) read(ctx context.Context, r ledger.Range) error {
	return v.ledger.Read(ctx, r, func(e events.Stored) error {
		v.opened.Events++
		err := v.Apply(e)
		v.low.applied(e.Mark())
		return err
	})
}

// loadKept takes the kept views. It gives the mark up to which they are
// complete (the zero Mark if none of them can be believed) and the intercoms
// whose own view cannot.
func (v *Views) loadKept(ctx context.Context, kv jetstream.KeyValue) (events.Mark, []string, error) {
	upto, kept, err := readAll(ctx, kv)
	if err != nil {
		return events.Mark{}, nil, err
	}
	holds, err := v.ledger.Holds(ctx, upto.Mark)
	if err != nil {
		return events.Mark{}, nil, err
	}
	if !holds || len(kept) < upto.Intercoms {
		v.config.Log.Warn("kept views do not fit the ledger and are rebuilt", "kept", len(kept), "expected", upto.Intercoms)
		upto = complete{}
	}
	var damaged []string
	for intercom, k := range kept {
		ok, err := v.take(ctx, intercom, k, upto.Mark)
		if err != nil {
			return events.Mark{}, nil, err
		}
		if !ok {
			v.config.Log.Warn("kept view cannot be believed and is rebuilt", "intercom", intercom)
			damaged = append(damaged, intercom)
		}
	}
	if upto.Sequence == 0 { // everything is read again anyway
		damaged = nil
	}
	return upto.Mark, damaged, nil
}

// take believes a view that is whole and whose mark is covered by the common
// one, or is found in the stream: after a power cut a view may be newer than
// the ledger's end.
func (v *Views) take(ctx context.Context, intercom string, k jetstream.KeyValueEntry, upto events.Mark) (bool, error) {
	e := v.entry(intercom, true)
	e.kept = k.Revision()
	s, err := Decode(k.Value())
	if err != nil || s.Intercom != intercom || s.Stopped != "" || upto.Sequence == 0 {
		return false, nil // a stopped one may be understood by now
	}
	if s.Sequence > upto.Sequence {
		holds, err := v.ledger.Holds(ctx, s.Mark())
		if err != nil || !holds {
			return false, err
		}
	}
	e.state.Store(&s)
	v.opened.Views++
	v.announce(s)
	return true, nil
}

// announce tells of a state that no single event led to.
func (v *Views) announce(s projections.State) {
	if v.config.OnApply != nil {
		v.config.OnApply(s, events.Stored{})
	}
}

func (v *Views) rebuild(ctx context.Context, intercom string, upto uint64) error {
	v.opened.Rebuilt++
	return v.read(ctx, ledger.Range{Intercom: intercom, From: 1, Upto: upto})
}

// errUnread is a bucket whose reading does not come to its end. The server
// leaves out a record that has rotted, and with it the word that it was the last.
var errUnread = errors.New("kept views cannot be read to their end")

// readIdle is how long the reading of the bucket may stand still.
const readIdle = 5 * time.Second

func readAll(ctx context.Context, kv jetstream.KeyValue) (complete, map[string]jetstream.KeyValueEntry, error) {
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return complete{}, nil, fmt.Errorf("read views: %w", err)
	}
	defer func() { _ = w.Stop() }() // the watch ends with its connection at the latest
	var upto complete
	kept := map[string]jetstream.KeyValueEntry{}
	for {
		select {
		case <-ctx.Done():
			return complete{}, nil, fmt.Errorf("read views: %w", ctx.Err())
		case <-time.After(readIdle):
			return complete{}, nil, errUnread
		case k, ok := <-w.Updates():
			if !ok {
				return complete{}, nil, errors.New("read views: the reading was cut short")
			}
			if k == nil { // all that was there has been read
				return upto, kept, nil
			}
			if k.Key() == markKey {
				if json.Unmarshal(k.Value(), &upto) != nil {
					upto = complete{}
				}
			} else if intercom, ok := intercomOf(k.Key()); ok {
				kept[intercom] = k
			}
		}
	}
}

// Rebuild folds all events up to a sequence from the beginning, without any
// kept view: what the views must equal. It keeps nothing.
func Rebuild(ctx context.Context, l *ledger.Log, r ledger.Range) (map[string]projections.State, error) {
	states := map[string]projections.State{}
	r.From = 1
	err := l.Read(ctx, r, func(e events.Stored) error {
		s, err := projections.Apply(states[e.Intercom], e)
		if err != nil {
			return fmt.Errorf("sequence %d: %w", e.Sequence, err)
		}
		states[e.Intercom] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rebuild: %w", err)
	}
	return states, nil
}

// CodeEver finds a code that may have left the state: it folds the intercom's
// events and remembers the code as it last was.
func CodeEver(ctx context.Context, l *ledger.Log, intercom, code string, upto uint64) (projections.Code, bool, error) {
	var s projections.State
	var found projections.Code
	var ok bool
	err := l.Read(ctx, ledger.Range{Intercom: intercom, From: 1, Upto: upto}, func(e events.Stored) (err error) {
		if s, err = projections.Apply(s, e); err != nil {
			return err
		}
		if c, here := s.Code(code); here {
			found, ok = c, true
		}
		return nil
	})
	if err != nil {
		return projections.Code{}, false, fmt.Errorf("look up code %s: %w", code, err)
	}
	return found, ok, nil
}
