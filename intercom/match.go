package intercom

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"gatebook/events/seal"
)

// matched is what digits are found by: their HMAC under the intercom's own key.
// A fixed size, so that looking one up allocates nothing.
type matched [sha256.Size]byte

// String is the match as it travels: unpadded base64url.
func (m matched) String() string { return base64.RawURLEncoding.EncodeToString(m[:]) }

// parseMatch is the inverse of String.
func parseMatch(s string) (m matched, ok bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(len(m)) {
		return m, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(m[:], []byte(s))
	return m, err == nil && n == len(m)
}

// matcher has the match of every four digits: ten thousand, made at start in a
// few milliseconds, so that a guest at the gate waits for no HMAC. It never
// changes, and tells no more than the key that it was made from.
type matcher struct{ all [10000]matched }

func newMatcher(k seal.Key) (*matcher, error) {
	m := new(matcher)
	for n := range m.all {
		match, ok := parseMatch(seal.Match(k, fmt.Sprintf("%04d", n)))
		if !ok {
			return nil, fmt.Errorf("make matches: not of %d bytes", len(match))
		}
		m.all[n] = match
	}
	return m, nil
}

// match takes digits that commands.ValidDigits has passed.
func (m *matcher) match(digits string) matched {
	n := 0
	for i := range len(digits) {
		n = 10*n + int(digits[i]-'0')
	}
	return m.all[n]
}
