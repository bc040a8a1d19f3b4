package intercom

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// enrolment makes an enrolment file for a name, and its JWT and seed.
func enrolment(t testing.TB, name string) (file []byte, token string, seed []byte) {
	t.Helper()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	key, _ := user.PublicKey()
	claims := jwt.NewUserClaims(key)
	claims.Name = name
	if token, err = claims.Encode(account); err != nil {
		t.Fatal(err)
	}
	seed, _ = user.Seed()
	return FormatCredentials(token, seed, bytes.Repeat([]byte{7}, 32)), token, seed
}

func TestCredentials(t *testing.T) {
	file, token, seed := enrolment(t, "i-gate")
	c, err := ParseCredentials(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Intercom != "gate" || c.jwt != token || c.seed != string(seed) || c.key[31] != 7 {
		t.Errorf("parsed %s", c)
	}
	if got, err := ParseCredentials(bytes.ReplaceAll(file, []byte("\n"), []byte("\r\n"))); err != nil || got != c {
		t.Errorf("with the line ends of another system: %v", err)
	}
	// Any NATS client reads it too.
	plain, err := jwt.ParseDecoratedJWT(file)
	if err != nil || plain != token {
		t.Errorf("as NATS credentials: %v", err)
	}
	if pair, err := jwt.ParseDecoratedUserNKey(file); err != nil {
		t.Errorf("as NATS credentials: %v", err)
	} else if key, _ := pair.PublicKey(); key != c.PublicKey {
		t.Error("as NATS credentials: another key")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		said := fmt.Sprintf(verb, c)
		if strings.Contains(said, c.seed) || strings.Contains(said, token) {
			t.Errorf("%s prints a secret", verb)
		}
	}
}

func TestCredentialsRefused(t *testing.T) {
	file, token, seed := enrolment(t, "i-gate")
	_, _, otherSeed := enrolment(t, "i-gate")
	person, _, _ := enrolment(t, "p-anna")
	nameless, _, _ := enrolment(t, "")
	key := bytes.Repeat([]byte{7}, 32)
	cut, _, _ := bytes.Cut(file, []byte(matchBegin))
	for name, raw := range map[string][]byte{
		"nothing":            nil,
		"a person's":         person,
		"nobody's":           nameless,
		"no match key":       cut,
		"a short match key":  FormatCredentials(token, seed, key[:31]),
		"an empty match key": FormatCredentials(token, seed, make([]byte, 32)),
		"another's seed":     FormatCredentials(token, otherSeed, key),
		"a changed JWT":      FormatCredentials(token[:len(token)-8]+"AAAAAAAA", seed, key),
		"no seed":            FormatCredentials(token, []byte("SUAAAA"), key),
		"a long file":        append(file, make([]byte, enrolmentMost)...),
	} {
		if c, err := ParseCredentials(raw); !errors.Is(err, ErrCredentials) || c != (Credentials{}) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), string(seed)) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error repeats a secret", name)
		}
	}
}

func FuzzParseCredentials(f *testing.F) {
	file, _, _ := enrolment(f, "i-gate")
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add([]byte(matchBegin + matchEnd))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseCredentials(raw)
		if err != nil {
			return
		}
		again, err := ParseCredentials(FormatCredentials(c.jwt, []byte(c.seed), c.key[:]))
		if err != nil || again != c {
			t.Errorf("what was parsed does not parse again: %v", err)
		}
	})
}
