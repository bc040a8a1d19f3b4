package intercom

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"gatebook/events"
	"gatebook/events/seal"
)

const (
	matchBegin = "-----BEGIN GATEBOOK MATCH KEY-----"
	matchEnd   = "------END GATEBOOK MATCH KEY------"
	// enrolmentMost is far above any enrolment file.
	enrolmentMost = 64 << 10
)

// ErrCredentials is what a file gives that is no enrolment.
var ErrCredentials = errors.New("not an enrolment file")

// Credentials is one enrolment of one intercom. Its secrets are not exported
// and not printed.
type Credentials struct {
	Intercom  string
	PublicKey string

	jwt  string
	seed string
	key  seal.Key
}

// String keeps the secrets out of whatever prints an enrolment.
func (c Credentials) String() string { return "enrolment of " + c.Intercom }

// GoString does the same for %#v.
func (c Credentials) GoString() string { return c.String() }

// FormatCredentials is the enrolment file: an ordinary NATS credentials file,
// which any NATS client reads, and after it the intercom's match key.
func FormatCredentials(userJWT string, seed []byte, matchKey []byte) []byte {
	return fmt.Appendf(nil, `-----BEGIN NATS USER JWT-----
%s
------END NATS USER JWT------

************************* IMPORTANT *************************
Who has this file is the intercom. Keep it as you would keep a key.

-----BEGIN USER NKEY SEED-----
%s
------END USER NKEY SEED------

*************************************************************

%s
%s
%s
`, userJWT, bytes.TrimSpace(seed), matchBegin, base64.StdEncoding.EncodeToString(matchKey), matchEnd)
}

// ParseCredentials reads an enrolment file. Which intercom it is for is the name
// in the JWT; that the ledger believes it too is the JWT's signature, which only
// the server can judge.
func ParseCredentials(raw []byte) (Credentials, error) {
	if len(raw) > enrolmentMost {
		return Credentials{}, fmt.Errorf("read enrolment: %w: too long", ErrCredentials)
	}
	c := Credentials{}
	for _, part := range []func([]byte) error{c.readUser, c.readSeed, c.readKey} {
		if err := part(raw); err != nil {
			return Credentials{}, fmt.Errorf("read enrolment: %w", err)
		}
	}
	return c, nil
}

func (c *Credentials) readUser(raw []byte) error {
	token, err := nkeys.ParseDecoratedJWT(raw)
	if err != nil {
		return fmt.Errorf("%w: no JWT", ErrCredentials)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		// The decoder's error may repeat parts of the file.
		return fmt.Errorf("%w: the JWT is not that of a user", ErrCredentials)
	}
	who, err := events.ParseActor(claims.Name)
	if err != nil || who.Kind != events.IntercomActor {
		return fmt.Errorf("%w: it is not for an intercom", ErrCredentials)
	}
	c.Intercom, c.PublicKey, c.jwt = who.ID, claims.Subject, token
	return nil
}

func (c *Credentials) readSeed(raw []byte) error {
	pair, err := nkeys.ParseDecoratedUserNKey(raw)
	if err != nil {
		return fmt.Errorf("%w: no user seed", ErrCredentials)
	}
	public, err := pair.PublicKey()
	if err != nil || public != c.PublicKey {
		return fmt.Errorf("%w: the seed is not the JWT's", ErrCredentials)
	}
	seed, err := pair.Seed()
	if err != nil {
		return fmt.Errorf("%w: no user seed", ErrCredentials)
	}
	c.seed = string(seed)
	return nil
}

func (c *Credentials) readKey(raw []byte) error {
	_, rest, begun := bytes.Cut(raw, []byte(matchBegin))
	body, _, ended := bytes.Cut(rest, []byte(matchEnd))
	if !begun || !ended {
		return fmt.Errorf("%w: no match key; next: enrol again", ErrCredentials)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(body)))
	if err != nil || len(key) != len(c.key) {
		return fmt.Errorf("%w: the match key is not 32 bytes", ErrCredentials)
	}
	if copy(c.key[:], key); c.key == (seal.Key{}) {
		return fmt.Errorf("%w: the match key is empty", ErrCredentials)
	}
	return nil
}
