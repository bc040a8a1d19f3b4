package views

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gatebook/events"
	"gatebook/projections"
)

// Bucket is the key-value bucket that keeps the views: one key an intercom, and
// one that says up to where they are all complete.
const (
	Bucket  = "VIEWS"
	prefix  = "intercom."
	markKey = "mark"
)

// errDamaged is a kept view whose bytes are not what was written.
var errDamaged = errors.New("kept view is damaged")

// record is a view as it is kept.
type record struct {
	Fold  int             `json:"fold"` // projections.Version
	Sum   string          `json:"sum"`  // hex SHA-256 of State
	State json.RawMessage `json:"state"`
}

// complete says that the views of that many intercoms have every event up to a
// mark.
type complete struct {
	events.Mark
	Intercoms int `json:"intercoms"`
}

// Encode gives the bytes of a view: the same for the same state, wherever it
// was computed.
func Encode(s projections.State) ([]byte, error) {
	state, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode view of %s: %w", s.Intercom, err)
	}
	raw, err := json.Marshal(record{Fold: projections.Version, Sum: events.Hash(state), State: state})
	if err != nil {
		return nil, fmt.Errorf("encode view of %s: %w", s.Intercom, err)
	}
	return raw, nil
}

// Decode is the inverse of Encode. Any wrong byte is an error, and so is a view
// that another version of the fold made.
func Decode(raw []byte) (projections.State, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return projections.State{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if r.Fold != projections.Version || events.Hash(r.State) != r.Sum {
		return projections.State{}, errDamaged
	}
	var s projections.State
	if err := json.Unmarshal(r.State, &s); err != nil {
		return projections.State{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return s, nil
}

func key(intercom string) string { return prefix + intercom }

func intercomOf(key string) (string, bool) { return strings.CutPrefix(key, prefix) }
