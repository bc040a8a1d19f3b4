package journal

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Step is how far an attempt is known to have come.
type Step string

const (
	Asked   Step = "asked"   // sent to the ledger, no answer known; the gate was never told
	Opening Step = "opening" // may open; the gate is about to be told, or was
	Told    Step = "told"    // the gate answered; the ledger may not know it yet
)

// Attempt is one try at the keypad that the ledger has not settled.
type Attempt struct {
	Sequence  uint64    `json:"sequence"` // given by Ask: 1, 2, 3, never used twice
	Command   string    `json:"command"`
	Direction string    `json:"direction"`
	AskedAt   time.Time `json:"asked_at"`
	Step      Step      `json:"step"`
	Event     string    `json:"event,omitempty"` // empty for an opening by grace
	CodeID    string    `json:"code_id,omitempty"`
	Device    string    `json:"device,omitempty"`
	OpenedAt  time.Time `json:"opened_at,omitzero"` // when Opening was called
	Gate      string    `json:"gate,omitempty"`     // done, failed or timeout, once Told
}

// Ask keeps an attempt before it is sent. It begins at Asked, whatever a says of
// its later steps. Where 10,000 are kept the oldest at Asked makes room (Dropped
// counts it): its answer could open nothing any more. One past Asked is a fact
// that the ledger is owed and is never dropped; when all are, it is ErrFull.
func (j *Journal) Ask(a Attempt) error {
	a = Attempt{Command: a.Command, Direction: a.Direction, AskedAt: a.AskedAt.UTC(), Step: Asked}
	if err := a.check(); err != nil {
		return fmt.Errorf("keep attempt: %w", err)
	}
	err := j.update(func(tx *bolt.Tx) error {
		if tx.Bucket([]byte(bucketAttempts)).Get([]byte(a.Command)) != nil {
			return ErrStep
		}
		if err := j.makeRoom(tx); err != nil {
			return err
		}
		n, err := next(tx, keySequence)
		if err != nil {
			return err
		}
		a.Sequence = n
		return putAttempt(tx, a)
	})
	return about("keep attempt", a.Command, err)
}

func (j *Journal) makeRoom(tx *bolt.Tx) error {
	if tx.Bucket([]byte(bucketAttempts)).Stats().KeyN < j.most {
		return nil
	}
	all, err := attempts(tx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(a Attempt) bool { return a.Step == Asked })
	if i < 0 {
		return ErrFull
	}
	if _, err := next(tx, keyDropped); err != nil {
		return err
	}
	return tx.Bucket([]byte(bucketAttempts)).Delete([]byte(all[i].Command))
}

// Opening keeps that the gate is about to be told. Call it before telling, and
// tell nothing unless it returned nil: after kill -9 between the two the attempt
// stands at Opening, after one before it at Asked.
func (j *Journal) Opening(command, event, codeID, device string) error {
	err := j.change(command, func(a *Attempt) error {
		if a.Step != Asked {
			return ErrStep
		}
		a.Step, a.Event, a.CodeID, a.Device = Opening, event, codeID, device
		a.OpenedAt = time.Now().UTC()
		return nil
	})
	return about("keep opening", command, err)
}

// Told keeps what the gate answered.
func (j *Journal) Told(command, gate string) error {
	err := j.change(command, func(a *Attempt) error {
		if a.Step != Opening {
			return ErrStep
		}
		a.Step, a.Gate = Told, gate
		return nil
	})
	return about("keep gate's answer", command, err)
}

// Settle forgets an attempt that the ledger knows all of. One that is not there
// is settled: a crash after the last Settle may repeat it.
func (j *Journal) Settle(command string) error {
	return about("settle attempt", command, j.remove(bucketAttempts, command))
}

// Pending is every unsettled attempt, in the order in which they were asked.
// With ErrDamaged comes what could still be read.
func (j *Journal) Pending() ([]Attempt, error) {
	var all []Attempt
	err := j.view(func(tx *bolt.Tx) (err error) {
		all, err = attempts(tx)
		return err
	})
	return all, wrap("read attempts", err)
}

// Dropped is how many attempts ever made room for later ones.
func (j *Journal) Dropped() (uint64, error) {
	var n uint64
	err := j.view(func(tx *bolt.Tx) (err error) {
		n, err = counter(tx, keyDropped)
		return err
	})
	return n, wrap("read count", err)
}

func (j *Journal) change(command string, fn func(*Attempt) error) error {
	return j.update(func(tx *bolt.Tx) error {
		raw, err := get(tx, bucketAttempts, command)
		if err != nil {
			return err
		}
		if raw == nil {
			return ErrNotPending
		}
		a, err := decode(raw)
		if err != nil {
			return err
		}
		if err := fn(&a); err != nil {
			return err
		}
		if err := a.check(); err != nil {
			return err
		}
		return putAttempt(tx, a)
	})
}

func (j *Journal) remove(bucket, key string) error {
	return j.update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b.Get([]byte(key)) == nil {
			return errUnchanged
		}
		return b.Delete([]byte(key))
	})
}

func attempts(tx *bolt.Tx) ([]Attempt, error) {
	var all []Attempt
	err := each(tx, bucketAttempts, func(_ string, raw []byte) error {
		a, err := decode(raw)
		all = append(all, a)
		return err
	})
	slices.SortFunc(all, func(a, b Attempt) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all, err
}

func putAttempt(tx *bolt.Tx, a Attempt) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write attempt: %w", err)
	}
	return put(tx, bucketAttempts, a.Command, raw)
}

func decode(raw []byte) (Attempt, error) {
	var a Attempt
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("read attempt: %w", err)
	}
	return a, nil
}

// check keeps out what would make the file grow without bound, or could not be
// told apart later.
func (a Attempt) check() error {
	word := func(s string, empty bool) bool {
		bad := func(r rune) bool { return r <= ' ' || r > '~' }
		return len(s) <= 64 && (empty || s != "") && strings.IndexFunc(s, bad) < 0
	}
	told := a.Gate == "done" || a.Gate == "failed" || a.Gate == "timeout"
	switch {
	case !word(a.Command, false):
		return fmt.Errorf("%w [command]", ErrMalformed)
	case a.Direction != "entry" && a.Direction != "exit":
		return fmt.Errorf("%w [direction]", ErrMalformed)
	case a.AskedAt.IsZero() || a.AskedAt.Year() > 9999:
		return fmt.Errorf("%w [asked at]", ErrMalformed)
	case !word(a.Event, true), !word(a.CodeID, a.Step == Asked), !word(a.Device, true):
		return fmt.Errorf("%w [event, code or device]", ErrMalformed)
	case a.Step == Told && !told:
		return fmt.Errorf("%w [gate]", ErrMalformed)
	}
	return nil
}
