package commands_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"gatebook/commands"

	"pgregory.net/rapid"
)

type source struct{ *rand.ChaCha8 }

func seeded(n byte) io.Reader {
	var seed [32]byte
	seed[0] = n
	return source{rand.NewChaCha8(seed)}
}

// weak are the digits that are never given out.
func weak(d string) bool {
	commonest := map[string]bool{"1212": true, "1004": true, "2000": true, "6969": true, "1122": true, "1313": true,
		"2001": true, "1010": true, "2580": true, "2112": true}
	for _, row := range []string{"0123456789012", "9876543210987", "0000", "1111", "2222", "3333", "4444", "5555", "6666", "7777", "8888", "9999"} {
		for i := 0; i+4 <= len(row); i++ {
			commonest[row[i:i+4]] = true
		}
	}
	return commonest[d]
}

func all() map[string]bool {
	digits := map[string]bool{}
	for n := range 10000 {
		digits[fmt.Sprintf("%04d", n)] = true
	}
	return digits
}

func TestValidDigits(t *testing.T) {
	for d, want := range map[string]bool{
		"0000": true, "1234": true, "9999": true, "": false, "123": false, "12345": false, "12a4": false, " 123": false,
		"-123": false, "+123": false, "12\n3": false, "1234\n": false, "１２３４": false, "٣٣": false,
	} {
		if got := commands.ValidDigits(d); got != want {
			t.Errorf("ValidDigits(%q) = %v", d, got)
		}
	}
}

// Every digits that may be drawn is drawn about as often: chi-square over all
// cells, with a fixed seed, at five standard deviations.
func TestPickDigitsIsEven(t *testing.T) {
	taken, cells := all(), map[string]int{}
	for n := 0; n < 10000; n += 499 { // some twenty are free
		if d := fmt.Sprintf("%04d", n); !weak(d) {
			delete(taken, d)
			cells[d] = 0
		}
	}
	const each = 20
	rnd, draws := seeded(1), each*len(cells)
	for range draws {
		d, err := commands.PickDigits(rnd, taken)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := cells[d]; !ok {
			t.Fatalf("drew %s, which is taken or weak", d)
		}
		cells[d]++
	}
	chi := 0.0
	for _, n := range cells {
		chi += float64((n-each)*(n-each)) / each
	}
	free := float64(len(cells) - 1)
	if off := math.Abs(chi-free) / math.Sqrt(2*free); off > 5 {
		t.Errorf("chi-square %.1f over %.0f degrees of freedom: %.1f deviations", chi, free, off)
	}
}

// What is left is drawn to the last one; what is weak is never drawn at all.
func TestPickDigitsDrawsAllThatAreFree(t *testing.T) {
	taken, free := all(), 0
	for n := 0; n < 10000; n += 303 { // 0000, 0303, 0606: some thirty
		d := fmt.Sprintf("%04d", n)
		delete(taken, d)
		if !weak(d) {
			free++
		}
	}
	rnd, drawn := seeded(2), 0
	for ; ; drawn++ {
		d, err := commands.PickDigits(rnd, taken)
		if errors.Is(err, commands.ErrNoDigits) {
			break
		}
		if err != nil || taken[d] || weak(d) || !commands.ValidDigits(d) {
			t.Fatalf("drew %q, %v", d, err)
		}
		taken[d] = true
	}
	if drawn != free {
		t.Errorf("drew %d of %d", drawn, free)
	}
}

func TestPickDigitsNeverTakenOrWeak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		taken := map[string]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 9999), 0, 200).Draw(t, "taken") {
			taken[fmt.Sprintf("%04d", n)] = true
		}
		d, err := commands.PickDigits(seeded(rapid.Byte().Draw(t, "seed")), taken)
		if err != nil || taken[d] || weak(d) || !commands.ValidDigits(d) {
			t.Fatalf("drew %q, %v", d, err)
		}
	})
}

func TestPickDigitsWithoutChance(t *testing.T) {
	if d, err := commands.PickDigits(seeded(3), all()); !errors.Is(err, commands.ErrNoDigits) || d != "" {
		t.Errorf("drew %q, %v", d, err)
	}
	if d, err := commands.PickDigits(io.LimitReader(seeded(3), 3), nil); !errors.Is(err, io.ErrUnexpectedEOF) || d != "" {
		t.Errorf("drew %q, %v", d, err)
	}
}

type values [][4]byte

func (v *values) Read(p []byte) (int, error) {
	if len(*v) == 0 {
		return 0, io.EOF
	}
	n := copy(p, (*v)[0][:])
	*v = (*v)[1:]
	return n, nil
}

// A draw from the uneven rest is thrown away and drawn again, from all digits
// (2^32 leaves a rest of 7296) and from what is left of them.
func TestPickDigitsThrowsTheRestAway(t *testing.T) {
	v := values{{0xff, 0xff, 0xff, 0xff}, {0x80, 0xe3, 0xff, 0xff}, {5}} // 2^32-1 and 2^32-7296
	if d, err := commands.PickDigits(&v, nil); err != nil || d != "0005" || len(v) != 0 {
		t.Errorf("drew %q, %v, %d left", d, err, len(v))
	}
	v = values{{0x7f, 0xe3, 0xff, 0xff}, {5}} // the last that is even: it ends in 9999, which is weak
	if d, err := commands.PickDigits(&v, nil); err != nil || d != "0005" || len(v) != 0 {
		t.Errorf("drew %q, %v, %d left", d, err, len(v))
	}
	v = values{{0x7e, 0xe3, 0xff, 0xff}} // 9998
	if d, err := commands.PickDigits(&v, nil); err != nil || d != "9998" {
		t.Errorf("drew %q, %v", d, err)
	}
	taken := all()
	for _, d := range []string{"0003", "0005", "0007"} { // 2^32 leaves a rest of one
		delete(taken, d)
	}
	v = append(make(values, 100), [4]byte{0xff, 0xff, 0xff, 0xff}, [4]byte{1}) // 0000 a hundred times
	if d, err := commands.PickDigits(&v, taken); err != nil || d != "0005" || len(v) != 0 {
		t.Errorf("drew %q, %v, %d left", d, err, len(v))
	}
}

// Chance that fails says so, wherever the drawing is.
func TestPickDigitsWhenChanceFails(t *testing.T) {
	for n := range 102 {
		v := make(values, n) // 0000, which is weak
		if d, err := commands.PickDigits(&v, map[string]bool{}); n < 101 && (!errors.Is(err, io.EOF) || d != "") {
			t.Errorf("drew %q, %v after %d draws", d, err, n)
		}
	}
}
