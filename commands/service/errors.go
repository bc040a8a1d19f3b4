package service

import (
	"errors"

	"gatebook/commands"
	"gatebook/events/ledger"
)

// unknownError is an unavailable refusal whose command may still have been, or
// still be, accepted.
type unknownError struct{ *commands.Refusal }

func (e *unknownError) Unwrap() error { return e.Refusal }

// outcome is the details of a refusal that leaves the outcome open.
type outcome struct {
	Outcome string `json:"outcome"`
	Command string `json:"command"`
}

func unknown(command string) error {
	r := commands.Refuse(commands.Unavailable, "repeat the command with the same id: --command-id "+command,
		"the ledger cannot tell yet whether this was stored")
	r.Details = outcome{"unknown", command}
	return &unknownError{r}
}

func busy() error {
	return commands.Refuse(commands.Unavailable, "try again in a moment", "the ledger is busy with this intercom")
}

// internal hides what went wrong inside from the caller; the log has it.
func (s *Service) internal(err error) error {
	if r := (*commands.Refusal)(nil); errors.As(err, &r) {
		return err
	}
	s.Log.Error("a command could not be done", "error", err)
	if errors.Is(err, ledger.ErrRot) {
		return commands.Refuse(commands.Unavailable, "see what is missing with: gatebook verify", "a part of the ledger cannot be read")
	}
	return commands.Refuse(commands.Unavailable, "try again; the server's log says more", "the ledger cannot do this now")
}

// undurable: what was decided may be lost with the next power cut, so the caller
// is told nothing about it. A failed sync ends the whole service.
func (s *Service) undurable(err error, m commands.Meta) error {
	if errors.Is(err, ledger.ErrBarrier) {
		s.Log.Error("the disk did not confirm a write: the ledger stops", "error", err)
		s.fail(err)
	}
	if m.Command == "" { // a reading leaves nothing behind
		return busy()
	}
	return unknown(m.Command)
}
