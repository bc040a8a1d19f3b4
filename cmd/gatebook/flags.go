package main

import (
	"path/filepath"
	"strconv"
	"time"

	"gatebook/commands"

	"github.com/spf13/pflag"
)

// once is a flag that may be given once: of two contacts or two limits neither
// must win silently.
type once[T any] struct {
	to    *T
	kind  string
	read  func(string) (T, error)
	given bool
	// twice is what to do instead of giving it twice.
	twice string
}

// flag defines a flag whose value is read into to, which keeps what it has
// unless the flag is given.
func flag[T any](f *pflag.FlagSet, to *T, name, kind string, read func(string) (T, error), usage string) *once[T] {
	o := &once[T]{to: to, kind: kind, read: read, twice: "give it once"}
	f.Var(o, name, usage)
	return o
}

// Set reads the value.
func (o *once[T]) Set(s string) error {
	if o.given {
		return wrong(o.twice, "it is given twice")
	}
	v, err := o.read(s)
	if err != nil {
		return err
	}
	*o.to, o.given = v, true
	return nil
}

// String says nothing: the usage text names the default.
func (o *once[T]) String() string { return "" }

// Type is what --help calls the value.
func (o *once[T]) Type() string { return o.kind }

// maybe reads into a pointer, which stays nil unless the flag is given.
func maybe[T any](read func(string) (T, error)) func(string) (*T, error) {
	return func(s string) (*T, error) {
		v, err := read(s)
		return &v, err
	}
}

func text(s string) (string, error) { return s, nil }

// named reads what must not be empty: an empty path or address is a variable
// that was not set.
func named(s string) (string, error) {
	if s == "" {
		return "", wrong("name one", "it is empty")
	}
	return s, nil
}

func number(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, wrong("give a number such as 10", "%q is not a whole number", s)
	}
	return n, nil
}

func truth(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, wrong("say true or false", "%q is neither true nor false", s)
	}
	return b, nil
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, wrong("give one such as 90m or 12h", "%q is not a duration", s)
	}
	return d, nil
}

// seconds reads a duration that travels as whole seconds.
func seconds(s string) (int64, error) {
	d, err := duration(s)
	if err == nil && d%time.Second != 0 {
		err = wrong("give one such as 90m or 12h", "%q is not whole seconds", s)
	}
	return int64(d / time.Second), err
}

// positive reads a duration to wait for.
func positive(s string) (time.Duration, error) {
	d, err := duration(s)
	if err == nil && d <= 0 {
		err = wrong("give one such as 5s", "%q is not longer than nothing", s)
	}
	return d, err
}

// moment reads a time, or how long ago it was.
func moment(now func() time.Time) func(string) (time.Time, error) {
	return func(s string) (time.Time, error) {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.UTC(), nil
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return time.Time{}, wrong("give one such as 2026-01-31T09:30:00Z, or 24h for a day ago", "%q is neither a time nor a duration", s)
		}
		return now().Add(-d).UTC(), nil
	}
}

func commandID(s string) (string, error) { return s, commands.CheckCommand(s) }

// file reads a path. It stays as it was typed for messages, made tidy.
func file(s string) (string, error) {
	if s == "" {
		return "", wrong("name a file", "it is empty")
	}
	return filepath.Clean(s), nil
}

// onOff defines a flag that stands alone or has =true or =false.
func onOff(f *pflag.FlagSet, to **bool, name, usage string) {
	flag(f, to, name, "bool", maybe(truth), usage)
	f.Lookup(name).NoOptDefVal = "true"
}
