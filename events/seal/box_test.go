package seal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"crypto/rand"

	"gatebook/events/seal"
)

func box(t testing.TB, k seal.Key) []byte {
	t.Helper()
	b, err := seal.Seal(k, rand.Reader, intercom, codeA, guest)
	ok(t, err)
	return b
}

func TestSealOpens(t *testing.T) {
	k := newKey(t)
	got, err := seal.Open(k, intercom, codeA, box(t, k))
	ok(t, err)
	if got != guest {
		t.Fatal("what was opened is not what was sealed")
	}
	if bytes.Equal(box(t, k), box(t, k)) {
		t.Fatal("two boxes of one guest are the same")
	}
}

func TestOpenRefusesOtherPlaces(t *testing.T) {
	k := newKey(t)
	b := box(t, k)
	for name, open := range map[string]func() (seal.Guest, error){
		"key":      func() (seal.Guest, error) { return seal.Open(newKey(t), intercom, codeA, b) },
		"zero key": func() (seal.Guest, error) { return seal.Open(seal.Key{}, intercom, codeA, b) },
		"intercom": func() (seal.Guest, error) { return seal.Open(k, "south-gate", codeA, b) },
		"code":     func() (seal.Guest, error) { return seal.Open(k, intercom, codeB, b) },
		"border":   func() (seal.Guest, error) { return seal.Open(k, intercom+codeA[:1], codeA[1:], b) },
		"longer":   func() (seal.Guest, error) { return seal.Open(k, intercom, codeA, append(bytes.Clone(b), 0)) },
	} {
		if g, err := open(); !errors.Is(err, seal.ErrSealed) || g != (seal.Guest{}) {
			t.Errorf("other %s: got error %v", name, err)
		}
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	k := newKey(t)
	b := box(t, k)
	for i := range b {
		for bit := range 8 {
			changed := bytes.Clone(b)
			changed[i] ^= 1 << bit
			if _, err := seal.Open(k, intercom, codeA, changed); err != seal.ErrSealed {
				t.Fatalf("bit %d of byte %d changed: got error %v", bit, i, err)
			}
		}
		if _, err := seal.Open(k, intercom, codeA, b[:i]); err != seal.ErrSealed {
			t.Fatalf("cut to %d bytes: got error %v", i, err)
		}
	}
}

// A box is stored for ever, so this one must open for ever.
func TestOpenGolden(t *testing.T) {
	g, err := seal.Open(goldenKey(), intercom, codeA, unhex(t, goldenBox))
	ok(t, err)
	if g != guest {
		t.Fatal("the golden box opens to another guest")
	}
	again, err := seal.Seal(goldenKey(), bytes.NewReader(make([]byte, 12)), intercom, codeA, guest)
	ok(t, err)
	if hex.EncodeToString(again) != goldenBox {
		t.Fatalf("got box %x", again)
	}
}

func goldenKey() (k seal.Key) {
	for i := range k {
		k[i] = byte(i)
	}
	return k
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	ok(t, err)
	return b
}

const overhead = 1 + 12 + 16

func TestBoxLengthSaysLittle(t *testing.T) {
	k := newKey(t)
	sizes := make(map[int]bool)
	for n := range 300 {
		b, err := seal.Seal(k, rand.Reader, intercom, codeA, seal.Guest{Digits: "1", Name: strings.Repeat("n", n)})
		ok(t, err)
		if (len(b)-overhead)%128 != 0 {
			t.Fatalf("name of %d: box of %d bytes", n, len(b))
		}
		sizes[len(b)] = true
		g, err := seal.Open(k, intercom, codeA, b)
		ok(t, err)
		if len(g.Name) != n {
			t.Fatalf("name of %d came back with %d", n, len(g.Name))
		}
	}
	if len(sizes) != 3 {
		t.Fatalf("300 lengths of names gave %d lengths of boxes", len(sizes))
	}
}

func TestSealRefuses(t *testing.T) {
	if _, err := seal.Seal(seal.Key{}, rand.Reader, intercom, codeA, guest); err == nil {
		t.Error("sealed with a key of zeros")
	}
	if _, err := seal.Seal(newKey(t), strings.NewReader("short"), intercom, codeA, guest); err == nil {
		t.Error("sealed without randomness")
	}
	if _, err := seal.NewKey(strings.NewReader("short")); err == nil {
		t.Error("made a key without randomness")
	}
	_, err := seal.Seal(newKey(t), rand.Reader, intercom, codeA, seal.Guest{Name: "Zed\xff"})
	if err == nil || strings.Contains(err.Error(), "Zed") {
		t.Errorf("name that is no text: got error %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := goldenKey()
	b, err := seal.Seal(k, rand.Reader, intercom, codeA, guest)
	ok(f, err)
	f.Add(b)
	f.Add(b[:20])
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, in []byte) {
		g, err := seal.Open(k, intercom, codeA, in)
		if err != nil && (err != seal.ErrSealed || g != (seal.Guest{})) {
			t.Fatalf("got error %v", err)
		}
		if err == nil && !bytes.Equal(in, b) && g != guest {
			t.Fatal("opened what was never sealed")
		}
	})
}

func FuzzSeal(f *testing.F) {
	f.Add("0420", "Ada", "+44", int64(60))
	f.Add("", "<\u2028>\"\\", "\xff", int64(-1))
	k := goldenKey()
	f.Fuzz(func(t *testing.T, digits, name, mobile string, validity int64) {
		in := seal.Guest{Digits: digits, Name: name, Mobile: mobile, ValidityS: validity}
		b, err := seal.Seal(k, rand.Reader, intercom, codeA, in)
		if err != nil {
			return // no UTF-8
		}
		if out, err := seal.Open(k, intercom, codeA, b); err != nil || out != in {
			t.Fatalf("round trip: %v", err)
		}
	})
}
