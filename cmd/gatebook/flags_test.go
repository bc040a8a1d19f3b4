package main

import (
	"slices"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestOnceKeepsWhatIsNotGiven(t *testing.T) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	kept, given := "kept", "default"
	var none *int
	flag(f, &kept, "kept", "K", text, "")
	flag(f, &given, "given", "G", text, "")
	flag(f, &none, "none", "N", maybe(number), "")
	if err := f.Parse([]string{"a", "--given", "", "b"}); err != nil {
		t.Fatal(err)
	}
	if kept != "kept" || given != "" || none != nil || !slices.Equal(f.Args(), []string{"a", "b"}) {
		t.Errorf("got %q, %q, %v and %v", kept, given, none, f.Args())
	}
	if err := f.Parse([]string{"--given=x"}); err == nil {
		t.Error("a flag was given twice")
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	read := moment(func() time.Time { return now })
	for s, want := range map[string]time.Time{
		"24h":                       now.Add(-24 * time.Hour),
		"0s":                        now,
		"2026-01-31T09:30:00Z":      now.Add(-150 * time.Minute),
		"2026-01-31T10:30:00+01:00": now.Add(-150 * time.Minute),
	} {
		got, err := read(s)
		if err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s is %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "-1h", "yesterday", "2026-01-31", "5"} {
		if got, err := read(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestSecondsAreWhole(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "90m": 5400, "1h30m": 5400, "-1s": -1} {
		if got, err := seconds(s); err != nil || got != want {
			t.Errorf("%s is %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "12", "1.5s", "500ms", "1d", "9999999999999h"} {
		if got, err := seconds(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}
