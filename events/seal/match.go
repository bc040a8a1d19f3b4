package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// Match is what stands for digits between a ledger and the intercom that k was
// made for: HMAC-SHA256 as unpadded base64url, 43 characters. It belongs in the
// match list and in use requests, and never in an event: who has k has tried all
// 10,000 digits in milliseconds.
func Match(k Key, digits string) string {
	mac := hmac.New(sha256.New, k[:])
	mac.Write(bind("digits"))
	mac.Write([]byte(digits))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// EqualMatch compares two matches in a time that does not tell where they differ.
func EqualMatch(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }
