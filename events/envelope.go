package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	strict "github.com/go-json-experiment/json"
)

// Version is the version of the envelope that this code writes.
const Version = 1

// Genesis is the prev of an intercom's first event.
var Genesis = strings.Repeat("0", 64)

// ErrEnvelope is what bytes that are no event give.
var ErrEnvelope = errors.New("malformed event")

// Who and how, as the by and via fields say it.
const (
	ByClock    = "clock"
	ByOperator = "operator"

	ViaApp    = "app"
	ViaCLI    = "cli"
	ViaAPI    = "api"
	ViaKeypad = "keypad"
	ViaTimer  = "timer"
)

// Event is one fact about one intercom.
type Event struct {
	V        int    `json:"v"`
	ID       string `json:"id"` // ULID; also the Nats-Msg-Id
	Type     Type   `json:"type"`
	Intercom string `json:"intercom"`
	// Revision counts the intercom's events: 1, 2, 3, no gap.
	Revision uint64 `json:"revision"`
	// At is the ledger's time in UTC, never before that of the previous event.
	At time.Time `json:"at"`
	// By is who: person:ID, intercom:ID, clock or operator.
	By string `json:"by"`
	// Via is how: app, cli, api, keypad or timer.
	Via string `json:"via"`
	// Command is the caller's id of the request that this event answers.
	Command string `json:"command"`
	// Prev is the hash of the stored bytes of the intercom's previous event.
	Prev string          `json:"prev"`
	Data json.RawMessage `json:"data"`
}

// Stored is an event as the stream has it.
type Stored struct {
	Event
	// Sequence is its place in the stream, from 1.
	Sequence uint64
	// Hash is the hex SHA-256 of Raw: what the next event names as its prev.
	Hash string
	// Raw is what is stored, byte for byte.
	Raw []byte
}

// New makes an event whose data is encoded from one of the ...Data types. The
// ledger fills in what ties it to the intercom's history: see Chained.
func New(id string, t Type, by, via, command string, data any) (Event, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode data of %s: %w", t, err)
	}
	return Event{V: Version, ID: id, Type: t, By: by, Via: via, Command: command, Data: raw}, nil
}

// Encode gives the bytes to store. Equal events give equal bytes. An envelope
// that Decode would refuse is not encoded.
func (e Event) Encode() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return raw, nil
}

// Decode reads stored bytes. It checks what every version shares and leaves the
// type and the data to the fold: an event of an unknown type or version still
// counts for revision and chain. Bytes that two readers could read differently,
// for a field named twice or for broken UTF-8, are refused; a field in another
// case is another field.
func Decode(raw []byte, sequence uint64) (Stored, error) {
	s := Stored{Sequence: sequence, Raw: raw, Hash: Hash(raw)}
	if err := strict.Unmarshal(raw, &s.Event); err != nil {
		return Stored{}, fmt.Errorf("decode event at sequence %d: %w: %w", sequence, ErrEnvelope, err)
	}
	if err := s.check(); err != nil {
		return Stored{}, fmt.Errorf("decode event at sequence %d: %w", sequence, err)
	}
	return s, nil
}

func (e *Event) check() error {
	switch {
	case e.V < 1:
		return fmt.Errorf("%w: no version", ErrEnvelope)
	case !ValidULID(e.ID):
		return fmt.Errorf("%w: id is no ULID", ErrEnvelope)
	case !ValidID(string(e.Type)):
		return fmt.Errorf("%w: bad type", ErrEnvelope)
	case !ValidID(e.Intercom):
		return fmt.Errorf("%w: bad intercom", ErrEnvelope)
	case e.Revision < 1:
		return fmt.Errorf("%w: no revision", ErrEnvelope)
	case e.At.IsZero():
		return fmt.Errorf("%w: no time", ErrEnvelope)
	case e.At.Location() != time.UTC:
		return fmt.Errorf("%w: time is not UTC", ErrEnvelope)
	case len(e.Prev) != len(Genesis):
		return fmt.Errorf("%w: bad prev", ErrEnvelope)
	}
	return nil
}

// Unpack reads the data into one of the ...Data types. Unknown fields are an
// error: data that this version does not wholly understand must not be decided
// on as if it were understood.
func (e Event) Unpack(into any) error {
	if len(e.Data) == 0 || e.Data[0] != '{' {
		return fmt.Errorf("read data of %s at revision %d: %w", e.Type, e.Revision, ErrEnvelope)
	}
	if err := strict.Unmarshal(e.Data, into, strict.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("read data of %s at revision %d: %w", e.Type, e.Revision, err)
	}
	return nil
}

// Hash is the hex SHA-256 of stored bytes.
func Hash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
