package testkit

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Full reports whether the long form of the tests was asked for, with
// GATEBOOK_ROBUST=full.
func Full() bool { return os.Getenv("GATEBOOK_ROBUST") == "full" }

// Sized is short, or long in the long form.
func Sized(short, long int) int {
	if Full() {
		return long
	}
	return short
}

// Seed is GATEBOOK_SEED, or drawn; it is printed.
func Seed(t testing.TB) uint64 {
	t.Helper()
	s := rand.Uint64()
	if text := os.Getenv("GATEBOOK_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("GATEBOOK_SEED: %v", err)
		}
	}
	t.Logf("GATEBOOK_SEED=%d", s)
	return s
}
