package gate

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		`a`:                      {"a"},
		"  a\t b \n c ":          {"a", "b", "c"},
		`a 'b c' "d e"`:          {"a", "b c", "d e"},
		`a '' ""`:                {"a", "", ""},
		`a b'c d'"e f"g`:         {"a", "bc de fg"},
		`a b\ c \' \" \\`:        {"a", "b c", "'", `"`, `\`},
		`a "x\"y\\z\$w\q"`:       {"a", `x"y\z$w\q`},
		`a 'x\y"z'`:              {"a", `x\y"z`},
		`a $HOME *.x | b; c &`:   {"a", "$HOME", "*.x", "|", "b;", "c", "&"},
		`/opt/gäte/öpen --now=1`: {"/opt/gäte/öpen", "--now=1"},
	} {
		got, err := words(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
	}
}

// FuzzWords: whatever came out, quoted and split again, comes out the same.
func FuzzWords(f *testing.F) {
	for _, s := range []string{`a b`, `'a' "b"`, `a\`, `a "b\"`, `'`, "a\x00", `\ `, "a ''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		first, err := words(line)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range first {
			quoted = append(quoted, `'`+strings.ReplaceAll(w, `'`, `'\''`)+`'`)
		}
		again, err := words(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(first, again) {
			t.Fatalf("%q: %q, then %q, %v", line, first, again, err)
		}
	})
}
