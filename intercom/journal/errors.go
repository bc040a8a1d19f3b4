package journal

import (
	"errors"
	"fmt"
)

var (
	// ErrInUse: another process has the state folder.
	ErrInUse = errors.New("state folder is in use")
	// ErrDamaged: something is not as it was written.
	ErrDamaged = errors.New("journal is damaged")
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrIdentity: the state folder belongs to another intercom.
	ErrIdentity = errors.New("state folder belongs to another intercom")
	// ErrNotPending: no such attempt is kept.
	ErrNotPending = errors.New("attempt is not in the journal")
	// ErrStep: the attempt is already at this step or past it. At Opening that
	// means: the gate may have been told, do not tell it again.
	ErrStep = errors.New("attempt is already at this step or past it")
	// ErrFull: no more attempts can be kept, each of them past Asked.
	ErrFull = errors.New("journal is full of attempts that the ledger has not been told of")
	// ErrMalformed: a field that cannot be kept.
	ErrMalformed = errors.New("malformed attempt")

	// errUnchanged ends an update that has nothing to write, without a sync.
	errUnchanged = errors.New("unchanged")
)

// damaged names the file, what was found, and what to do.
func (j *Journal) damaged(found error) error {
	return fmt.Errorf("%w [%s: %w]; next: stop this intercom, move the file aside and start again: "+
		"it fetches its codes anew, but outcomes it had not yet reported and its memory of revoked codes stay in the old file",
		ErrDamaged, j.path, found)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// about is wrap with the command or code that it was about.
func about(what, id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w [%s]", what, err, id)
}
