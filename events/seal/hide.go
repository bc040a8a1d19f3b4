package seal

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden is what everything secret prints as.
const hidden = "[sealed]"

// The methods below stand on values, so that they also serve pointers. They
// cannot help where package fmt may not call methods: a secret in an unexported
// field of a struct that is itself printed.

// Format prints "[sealed]" for every verb.
func (Guest) Format(s fmt.State, _ rune) { conceal(s) }

// String is "[sealed]".
func (Guest) String() string { return hidden }

// GoString is "[sealed]".
func (Guest) GoString() string { return hidden }

// LogValue is "[sealed]".
func (Guest) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON is "[sealed]", since loggers encode what they do not know. Answers
// to people are made from the fields, by the code that may show them.
func (Guest) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// Format prints "[sealed]" for every verb.
func (Key) Format(s fmt.State, _ rune) { conceal(s) }

// String is "[sealed]".
func (Key) String() string { return hidden }

// GoString is "[sealed]".
func (Key) GoString() string { return hidden }

// LogValue is "[sealed]".
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON is "[sealed]": a file that must hold a key encodes its bytes.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// Format prints "[sealed]" for every verb.
func (Master) Format(s fmt.State, _ rune) { conceal(s) }

// String is "[sealed]".
func (Master) String() string { return hidden }

// GoString is "[sealed]".
func (Master) GoString() string { return hidden }

// LogValue is "[sealed]".
func (Master) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON is "[sealed]".
func (Master) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// conceal ignores a failed write, as Format has no way to report one.
func conceal(s fmt.State) { _, _ = io.WriteString(s, hidden) }
