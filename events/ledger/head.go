package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gatebook/events"
)

// headEvery is how far the head may lag behind the durable mark.
const headEvery = 100 * time.Millisecond

// Head is the newest mark, kept outside the stream and signed, so that a tail
// that was cut off is noticed at the next open.
type Head struct {
	path string
	key  []byte
}

type headFile struct {
	events.Mark
	MAC []byte `json:"mac"`
}

// NewHead keeps the head in the file at path, signed with key.
func NewHead(path string, key []byte) *Head { return &Head{path: path, key: key} }

func (h *Head) mac(m events.Mark) []byte {
	mac := hmac.New(sha256.New, h.key)
	fmt.Fprintf(mac, "head\n%d\n%s\n%s\n", m.Sequence, m.ID, m.Hash)
	return mac.Sum(nil)
}

// Missing reports whether there is no head: none was written yet, or it was
// taken away.
func (h *Head) Missing() bool {
	_, err := os.Stat(h.path)
	return errors.Is(err, os.ErrNotExist)
}

// Read gives the head, or the zero Mark where none was written yet.
func (h *Head) Read() (events.Mark, error) {
	raw, err := os.ReadFile(h.path)
	if errors.Is(err, os.ErrNotExist) {
		return events.Mark{}, nil
	}
	if err != nil {
		return events.Mark{}, fmt.Errorf("read head: %w", err)
	}
	var f headFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return events.Mark{}, fmt.Errorf("read head: %w: the file %s is damaged: %w", ErrRot, h.path, err)
	}
	if !hmac.Equal(f.MAC, h.mac(f.Mark)) {
		return events.Mark{}, fmt.Errorf("read head: %w: the signature in %s is wrong", ErrRot, h.path)
	}
	return f.Mark, nil
}

// Write replaces the head. A crash at any line leaves the former head or this
// one, whole: the new file is on disk before it takes the name.
func (h *Head) Write(m events.Mark) error {
	raw, err := json.Marshal(headFile{Mark: m, MAC: h.mac(m)})
	if err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	temporary := h.path + ".new"
	if err := writeSynced(temporary, append(raw, '\n')); err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	if err := os.Rename(temporary, h.path); err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	if err := syncFolder(filepath.Dir(h.path)); err != nil {
		return fmt.Errorf("write head: %w", err)
	}
	return nil
}

func writeSynced(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Keep writes the head as the durable mark moves, at most headEvery late, until
// ctx ends, and once more then. The head never names an event that is not
// durable, so a power cut cannot leave it ahead of the stream.
func (h *Head) Keep(ctx context.Context, d *Durable) error {
	var written events.Mark
	for {
		ended := ctx.Err() != nil // before the mark is read: the last one counts
		m, changed := d.Mark()
		if m != written {
			err := h.Write(m)
			full := errors.Is(err, syscall.ENOSPC) && !ended
			if err != nil && !full {
				return err
			}
			if full { // until room is made the former head stands, which is true still
				select {
				case <-ctx.Done():
				case <-time.After(headEvery):
				}
				continue
			}
			written = m
		}
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			continue
		case <-changed:
		}
		select {
		case <-ctx.Done():
		case <-time.After(headEvery):
		}
	}
}

// Holds reports whether the stream has exactly the event that the mark names.
func (l *Log) Holds(ctx context.Context, m events.Mark) (bool, error) {
	if m.Sequence == 0 {
		return true, nil
	}
	e, err := l.At(ctx, m.Sequence)
	switch {
	case errors.Is(err, ErrNone), errors.Is(err, events.ErrEnvelope):
		return false, nil
	case err != nil:
		return false, err
	}
	return e.Mark() == m, nil
}

// Check compares the stream with the head. A stream that is longer is normal:
// the head is written a little later. One that does not have the head's event
// was cut or replaced.
func (l *Log) Check(ctx context.Context, head events.Mark) error {
	holds, err := l.Holds(ctx, head)
	if err != nil {
		return fmt.Errorf("check head: %w", err)
	}
	if holds {
		return nil
	}
	last, err := l.LastSequence(ctx)
	if err != nil {
		return fmt.Errorf("check head: %w", err)
	}
	if last < head.Sequence {
		return fmt.Errorf("check head: %w: events %d to %d are missing at its end", ErrRot, last+1, head.Sequence)
	}
	return fmt.Errorf("check head: %w: the event at sequence %d is not the one that was stored there", ErrRot, head.Sequence)
}
