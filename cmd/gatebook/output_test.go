package main

import (
	"bytes"
	"testing"
	"time"
)

func TestLasts(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                              "0 s",
		999 * time.Millisecond:         "0 s",
		40 * time.Second:               "40 s",
		time.Minute:                    "1 min",
		90 * time.Second:               "1 min 30 s",
		3*time.Hour + 12*time.Minute:   "3 h 12 min",
		12 * time.Hour:                 "12 h",
		47*time.Hour + 59*time.Minute:  "47 h 59 min",
		48 * time.Hour:                 "2 d",
		719*time.Hour + 59*time.Minute: "29 d 23 h",
		time.Hour + 59*time.Second:     "1 h",
	} {
		if got := lasts(d); got != want {
			t.Errorf("%v lasts %q, want %q", d, got, want)
		}
	}
}

func TestShownTextIsHarmless(t *testing.T) {
	if got := plain("a\x1b[2Jb\u202ec\nd é"); got != "a?[2Jb?c?d é" {
		t.Errorf("got %q", got)
	}
	if got := clip("Grüße", 5); got != "Grüße" {
		t.Errorf("got %q", got)
	}
	if got := clip("Grüße!", 5); got != "Grüß…" {
		t.Errorf("got %q", got)
	}
}

func TestLargeDigits(t *testing.T) {
	want := "" +
		"   _         _    _         _    _    _    _    _ \n" +
		"  | |    |   _|   _|  |_|  |_   |_     |  |_|  |_|\n" +
		"  |_|    |  |_    _|    |   _|  |_|    |  |_|   _|\n"
	if got := large("0123456789"); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestProgressIsDrawnForPeopleOnly(t *testing.T) {
	var screen bytes.Buffer
	(&app{stderr: &screen}).progress().at(1, 2)
	if screen.Len() > 0 {
		t.Errorf("without a terminal %q was drawn", screen.String())
	}
	bar := (&app{stderr: &screen, canRead: true}).progress()
	bar.clear() // nothing was drawn yet
	bar.at(1, 2)
	bar.clear()
	want := "\r[===============               ]  50 %  1 of 2\r\033[K"
	if screen.String() != want {
		t.Errorf("got %q", screen.String())
	}
}
