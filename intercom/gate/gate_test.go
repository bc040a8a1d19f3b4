package gate

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

var order = Order{Device: "front", Direction: "entry", Attempt: "01JZZZZZZZZZZZZZZZZZZZZZZZ"}

// record is a log that a test can read back.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func newLog() (*slog.Logger, *record) {
	r := &record{}
	return slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})), r
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func parse(t *testing.T, spec string) Driver {
	t.Helper()
	d, err := Parse(spec, quiet(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLogDriverIsAlwaysDone(t *testing.T) {
	log, said := newLog()
	d, err := Parse("log", log, 0)
	if err != nil {
		t.Fatal(err)
	}
	if out := d.Open(t.Context(), order); out != Done {
		t.Fatalf("outcome %s, want done", out)
	}
	for _, want := range []string{"device=front", "direction=entry", "attempt=" + order.Attempt} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("log lacks %q: %s", want, said)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, spec := range []string{
		"", "logs", "exec", "exec:", "exec: ", "exec:''", "exec:a 'b", `exec:a "b`, `exec:a \`, "exec:a\x00b",
		"http:", "http://", "https://", "http://:80", "ftp://h/", "//h", "http://h:port/", "https:http://h/",
		"http://u:hunter2@h/", "http://h/%zz",
	} {
		d, err := Parse(spec, quiet(), 0)
		if err == nil {
			t.Errorf("%q: taken as %T", spec, d)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error repeats a password: %v", spec, err)
		}
	}
}

func TestParseTakesBothReadingsOfURL(t *testing.T) {
	for spec, want := range map[string]string{
		"http://h/a":         "http://h/a",
		"https://h/a":        "https://h/a",
		"http:http://h/a":    "http://h/a",
		"http:https://h/a":   "https://h/a",
		"https:https://h/a":  "https://h/a",
		"http://h:8080?x=1":  "http://h:8080?x=1",
		"http://[::1]:80/up": "http://[::1]:80/up",
	} {
		if got := parse(t, spec).(*webDriver).url; got != want {
			t.Errorf("%q: posts to %q, want %q", spec, got, want)
		}
	}
}
