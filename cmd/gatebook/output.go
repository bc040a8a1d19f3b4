package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// print writes a result to standard output in one piece: JSON, or what the
// human function makes of it.
func (a *app) print(result any, human func(w io.Writer)) error {
	var out bytes.Buffer
	if a.json {
		if err := encode(&out, result); err != nil {
			return err
		}
	} else {
		human(&out)
	}
	return a.put(out.Bytes())
}

func (a *app) put(out []byte) error {
	if _, err := a.stdout.Write(out); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// logger writes to standard error: text where somebody reads it, else JSON.
func (a *app) logger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if a.canRead {
		return slog.New(slog.NewTextHandler(a.stderr, options))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, options))
}

// columns writes rows that line up, two blanks apart.
func columns(w io.Writer, rows ...[]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
}

// pairs writes names and values, one pair a line; pairs without a value are
// left out.
func pairs(w io.Writer, all ...[2]string) {
	var rows [][]string
	for _, p := range all {
		if p[1] != "" {
			rows = append(rows, []string{p[0], p[1]})
		}
	}
	columns(w, rows...)
}

// plain makes a text safe to show: what is no printable character could move
// the cursor or turn the text around.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// clip shortens a text to a width.
func clip(s string, width int) string {
	runes := []rune(plain(s))
	if len(runes) <= width {
		return string(runes)
	}
	return string(runes[:max(width-1, 0)]) + "…"
}

// when is an instant in the reader's own zone, which it names.
func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// exactly is when, to the millisecond: a gate is told within a few.
func exactly(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000 MST") }

func whenever(t *time.Time) string {
	if t == nil {
		return ""
	}
	return when(*t)
}

// lasts says how long in at most two units.
func lasts(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return units(d/day, "d", d%day/time.Hour, "h")
	case d >= time.Hour:
		return units(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
	case d >= time.Minute:
		return units(d/time.Minute, "min", d%time.Minute/time.Second, "s")
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func units(n time.Duration, unit string, m time.Duration, smaller string) string {
	if m == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, m, smaller)
}

func inSeconds(s int64) string { return lasts(time.Duration(s) * time.Second) }

// progress draws how far a long reading is, where somebody watches.
type progress struct {
	w     io.Writer
	drawn bool
}

func (p *progress) at(done, of uint64) {
	if p.w == nil || of == 0 {
		return
	}
	const width = 30
	full := int(min(done, of) * width / of)
	fmt.Fprintf(p.w, "\r[%s%s] %3d %%  %d of %d", strings.Repeat("=", full), strings.Repeat(" ", width-full), done*100/of, done, of)
	p.drawn = true
}

// clear takes the bar away.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\033[K")
	}
}

// progress is drawn on a terminal only.
func (a *app) progress() *progress {
	if !a.canRead {
		return &progress{}
	}
	return &progress{w: a.stderr}
}
