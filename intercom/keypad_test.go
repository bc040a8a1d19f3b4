package intercom

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"gatebook/projections"
)

func TestParseInput(t *testing.T) {
	for line, want := range map[string]input{
		"4711":             {digits: "4711", direction: projections.Exit},
		" 4711 \r\n":       {digits: "4711", direction: projections.Exit},
		"entry 4711":       {digits: "4711", direction: projections.Entry},
		"\texit   4711\r ": {digits: "4711", direction: projections.Exit},
	} {
		if got, ok := parseInput(line, projections.Exit); !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", " ", "471", "47111", "47 11", "entry", "entry ", "entry4711", "Entry 4711", "up 4711", "entry entry 4711", "４７１１", "-471", "4711\x00", strings.Repeat("4711", 1000)} {
		if got, ok := parseInput(line, ""); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func FuzzParseInput(f *testing.F) {
	for _, line := range []string{"4711", "entry 4711", "exit 4711\r", "", "x"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		in, ok := parseInput(line, "")
		if ok && (len(in.digits) != 4 || !strings.HasSuffix(strings.TrimSpace(line), in.digits)) {
			t.Errorf("%q gave %+v", line, in)
		}
	})
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{"a\n\nb\r\n", []string{"a\n", "\n", "b\r\n"}},
		{long + "\nb\n", []string{"", "b\n"}},
		{long, []string{""}},
		{strings.Repeat("x", longestLine-1) + "\nb", []string{strings.Repeat("x", longestLine-1) + "\n", "b"}},
		{strings.Repeat("x", longestLine) + "\nb", []string{"", "b"}},
	} {
		got, err := lines(t, strings.NewReader(tt.in))
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%.20q: got %.20q, %v", tt.in, got, err)
			continue
		}
		for n := range got {
			if got[n] != tt.want[n] {
				t.Errorf("%.20q: line %d is %.20q", tt.in, n, got[n])
			}
		}
	}
	broken := errors.New("unplugged")
	if _, err := lines(t, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func lines(t *testing.T, in io.Reader) (got []string, err error) {
	t.Helper()
	out, ended := make(chan string), make(chan error, 1)
	go func() { ended <- readLines(t.Context(), in, out) }()
	for {
		select {
		case line := <-out:
			got = append(got, line)
		case err := <-ended:
			return got, err
		}
	}
}
