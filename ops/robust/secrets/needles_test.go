package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// least is the shortest spelling that is looked for: a shorter one is anywhere
// by chance.
const least = 6

// spellings are the ways in which a text may lie somewhere.
func spellings(s string) map[string][]byte {
	quoted, _ := json.Marshal(s) // a string always encodes
	var ascii strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			ascii.WriteRune(r)
			continue
		}
		fmt.Fprintf(&ascii, `\u%04x`, r)
	}
	all := map[string][]byte{
		"plain": []byte(s), "hex": []byte(hex.EncodeToString([]byte(s))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(s)))),
		"query": []byte(url.QueryEscape(s)), "path": []byte(url.PathEscape(s)), "json": bytes.Trim(quoted, `"`), "json-ascii": []byte(ascii.String()),
		"go": []byte(strings.Trim(strconv.QuoteToASCII(s), `"`)), "upper": []byte(strings.ToUpper(s)), "lower": []byte(strings.ToLower(s)),
	}
	for shift := range 3 {
		for name, e := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64url": base64.URLEncoding} {
			all[fmt.Sprintf("%s+%d", name, shift)] = inBase64(e, s, shift)
		}
	}
	for name, b := range all {
		if len(b) < least {
			delete(all, name)
		}
	}
	return all
}

// inBase64 is what of the text's encoding is the same whatever stands before
// and after it, where it begins shift bytes after a group of three.
func inBase64(e *base64.Encoding, s string, shift int) []byte {
	raw := append(make([]byte, shift), s...)
	begin := (shift*8 + 5) / 6 // the first character that is of s alone
	end := len(raw) * 8 / 6    // and the first that is not any more
	return []byte(e.EncodeToString(raw)[begin:end])
}

// hay is one place to look in.
type hay struct {
	name string
	data []byte
}

func (h hay) binary() bool { return !utf8.Valid(h.data) || bytes.IndexByte(h.data, 0) >= 0 }

// folder is every file under dir, its name included: a name may tell, too.
func folder(t testing.TB, label, dir string) (all []hay) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if len(bytes.Trim(data, "\x00")) == 0 { // room that is kept free
			data = nil
		}
		all = append(all, hay{label + "/" + rel, append(data, "\n"+rel...)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// found tells where a text is, in which spelling.
func found(hays []hay, what, s string) (where []string) {
	for spelling, needle := range spellings(s) {
		for _, h := range hays {
			if i := bytes.Index(h.data, needle); i >= 0 {
				where = append(where, fmt.Sprintf("%s is in %s as %s, at byte %d", what, h.name, spelling, i))
			}
		}
	}
	return where
}

// noise is what in a text is four digits and nobody's: times and processes.
var noise = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)|"pid":\d+|127\.0\.0\.1:\d+`)

// tokens counts how often digits stand by themselves: with no letter, digit or
// other character of base64 on either side.
func tokens(data []byte, digits string) (n int) {
	for rest := data; ; {
		i := bytes.Index(rest, []byte(digits))
		if i < 0 {
			return n
		}
		end := i + len(digits)
		if (i == 0 || !wordy(rest[i-1])) && (end == len(rest) || !wordy(rest[end])) {
			n++
		}
		rest = rest[end:]
	}
}

func wordy(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || strings.IndexByte("+/_-.", b) >= 0
}

// digitsInText tells where digits stand by themselves in a text.
func digitsInText(hays []hay, digits []string) (where []string) {
	for _, h := range hays {
		if h.binary() {
			continue
		}
		data := noise.ReplaceAll(h.data, []byte("-"))
		for _, d := range digits {
			if n := tokens(data, d); n > 0 {
				where = append(where, fmt.Sprintf("digits %s stand %d times in %s", d, n, h.name))
			}
		}
	}
	return where
}

// tally counts digits in all binary files, anywhere and standing by themselves.
func tally(hays []hay, digits []string) (anywhere, alone int) {
	for _, h := range hays {
		if !h.binary() {
			continue
		}
		for _, d := range digits {
			anywhere += bytes.Count(h.data, []byte(d))
			alone += tokens(h.data, d)
		}
	}
	return anywhere, alone
}

// tooOften is how likely it is that at least k of n findings are of the issued
// digits, if they are no more likely to be found than the others: each finding
// is of one of them with probability p.
func tooOften(k, n int, p float64) float64 {
	sum := 0.0
	for i := k; i <= n; i++ {
		logOf, _ := math.Lgamma(float64(n + 1))
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(logOf - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log(1-p))
	}
	return sum
}

// TestTheSearchFinds plants every spelling, and finds it.
func TestTheSearchFinds(t *testing.T) {
	const name = `Zoë "Zo" O'Brien & Ünal`
	for shift := range 3 {
		pad := strings.Repeat("x", shift)
		for spelling, planted := range map[string]string{
			"plain": name, "base64": base64.StdEncoding.EncodeToString([]byte(pad + name + "tail")),
			"base64url": base64.RawURLEncoding.EncodeToString([]byte(pad + name)), "hex": hex.EncodeToString([]byte(pad + name)),
			"query": url.QueryEscape(pad + name), "json": strconv.QuoteToASCII(name),
		} {
			if len(found([]hay{{"planted", []byte("before " + planted + " after")}}, "name", name)) == 0 {
				t.Errorf("%s, shifted by %d, is not found", spelling, shift)
			}
		}
	}
	if got := found([]hay{{"nothing", []byte("Zoe, and nobody else")}}, "name", name); got != nil {
		t.Error(got)
	}
	text := []byte(`{"time":"2026-11-23T10:00:00.4711Z","pid":4711,"hash":"a4711","code":"4711"}`)
	if got := digitsInText([]hay{{"planted", text}}, []string{"4711"}); len(got) != 1 || !strings.Contains(got[0], " 1 times") {
		t.Errorf("of digits in a text it finds %v", got)
	}
	if p := tooOften(10, 20, 0.5); p < 0.5 || p > 0.6 {
		t.Errorf("10 of 20 are as likely as %v", p)
	}
	if p := tooOften(20, 20, 0.5); p > 1e-5 {
		t.Errorf("20 of 20 are as likely as %v", p)
	}
}
