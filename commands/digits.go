package commands

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// DigitCount is how many digits a code has.
const DigitCount = 4

// ErrNoDigits is what a draw from nothing gives.
var ErrNoDigits = errors.New("no digits are free")

// ValidDigits reports whether s is four digits, nothing else.
func ValidDigits(s string) bool {
	if len(s) != DigitCount {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// PickDigits draws evenly from all four digits that are not taken and that
// nobody would guess first. What is taken is the digits of every live code and
// of every code that ended in the last 24 h.
func PickDigits(rnd io.Reader, taken map[string]bool) (string, error) {
	for range 100 { // nearly always the first draw fits
		n, err := below(rnd, 10000)
		if err != nil {
			return "", err
		}
		if d := digits(n); !taken[d] && !guessable(d) {
			return d, nil
		}
	}
	return pickFromFree(rnd, taken)
}

func pickFromFree(rnd io.Reader, taken map[string]bool) (string, error) {
	var free []string
	for n := range uint32(10000) {
		if d := digits(n); !taken[d] && !guessable(d) {
			free = append(free, d)
		}
	}
	if len(free) == 0 {
		return "", ErrNoDigits
	}
	n, err := below(rnd, uint32(len(free)))
	if err != nil {
		return "", err
	}
	return free[n], nil
}

func digits(n uint32) string {
	return string([]byte{'0' + byte(n/1000), '0' + byte(n/100%10), '0' + byte(n/10%10), '0' + byte(n%10)})
}

// below draws evenly from [0, n): a draw from the uneven rest is thrown away.
func below(rnd io.Reader, n uint32) (uint32, error) {
	var b [4]byte
	for limit := (1 << 32) / uint64(n) * uint64(n); ; {
		if _, err := io.ReadFull(rnd, b[:]); err != nil {
			return 0, fmt.Errorf("draw digits: %w", err)
		}
		if v := binary.LittleEndian.Uint32(b[:]); uint64(v) < limit {
			return v % n, nil
		}
	}
}

// guessable: one digit repeated, a run up or down, and the commonest PINs that
// are neither (DataGenetics, "PIN number analysis", 2012).
func guessable(d string) bool {
	up, down, same := true, true, true
	for i := 1; i < len(d); i++ {
		step := (int(d[i]) - int(d[i-1]) + 10) % 10
		up, down, same = up && step == 1, down && step == 9, same && step == 0
	}
	if up || down || same {
		return true
	}
	switch d {
	case "1212", "1004", "2000", "6969", "1122", "1313", "2001", "1010", "2580", "2112":
		return true
	}
	return false
}
