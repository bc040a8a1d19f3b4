package gate

import (
	"strings"
	"testing"
)

func TestParseGates(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		name  string
		specs []string
		want  string // part of the error, empty for none
	}{
		{"none", nil, ""},
		{"two", []string{"front=log", "back-2=exec:true a=b"}, ""},
		{"longest", []string{long + "=log"}, ""},
		{"too long", []string{long + "a=log"}, "flag 1"},
		{"twice", []string{"front=log", "back=log", "front=exec:true"}, "named twice [front]"},
		{"no driver", []string{"front"}, "flag 1"},
		{"empty driver", []string{"front="}, "[front]"},
		{"empty device", []string{"front=log", "=log"}, "flag 2"},
		{"upper case", []string{"Front=log"}, "flag 1"},
		{"dash first", []string{"-front=log"}, "flag 1"},
		{"line end", []string{"front\n=log"}, "flag 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseGates(c.specs, quiet(), 0)
			if c.want == "" && err != nil {
				t.Fatal(err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestGatesChooseByDevice(t *testing.T) {
	log, said := newLog()
	if _, err := ParseGates([]string{"back=http://h.invalid:notaport/"}, log, 0); err == nil {
		t.Fatal("a malformed URL was taken")
	}
	g, err := ParseGates([]string{"back=exec:/nonexistent/program"}, log, 0)
	if err != nil {
		t.Fatal(err)
	}
	if out := g.Open(t.Context(), Order{Device: "back"}); out != Failed {
		t.Errorf("back: %s, want failed", out)
	}
	if out := g.Open(t.Context(), order); out != Done {
		t.Errorf("a device without a driver: %s, want done", out)
	}
	if !strings.Contains(said.String(), "device=front") {
		t.Errorf("a device without a driver was not logged: %s", said)
	}
}

func FuzzParseGates(f *testing.F) {
	for _, s := range []string{"front=log", "a=exec:x 'y z'", "b=http://h/p", "c=https:https://h", "=", "d=http://u:p@h/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		g, err := ParseGates([]string{spec}, quiet(), 0)
		if err != nil {
			return
		}
		for device := range g.drivers {
			if len(device) > 63 || strings.Trim(device, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || device[0] == '-' {
				t.Fatalf("device %q was taken", device)
			}
		}
		if _, err := ParseGates([]string{spec, spec}, quiet(), 0); err == nil {
			t.Fatalf("%q was taken twice", spec)
		}
	})
}
