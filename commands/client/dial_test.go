package client_test

import (
	"net"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/commands/client"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

func TestDialSaysWhatIsWrong(t *testing.T) {
	s, other := newStandIn(t), newStandIn(t)
	for _, tc := range []struct {
		name, url string
		creds     []byte
		code      commands.Code
		words     string
	}{
		{"no creds", s.URL(), nil, commands.BadRequest, "not a NATS creds file"},
		{"an intercom's creds", s.URL(), s.intercom(), commands.BadRequest, "not those of a person"},
		{"another ledger's creds", s.URL(), other.creds("operator"), commands.NotAllowed, "does not accept"},
		{"no URL", "nats://[::1", s.creds("operator"), commands.BadRequest, "is not the URL"},
		{"nobody there", unused(t), s.creds("operator"), commands.Unavailable, "no ledger can be reached"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := client.Dial(tc.url, tc.creds)
			wantRefusal(t, err, tc.code, tc.words)
		})
	}
}

func TestDialGivesUpOnAServerThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newStandIn(t)
	began := time.Now()
	_, err = client.Dial("nats://"+l.Addr().String(), s.creds("operator"), client.Timeout(100*time.Millisecond))
	wantRefusal(t, err, commands.Unavailable, "no ledger can be reached")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("gave up after %v", took)
	}
}

// unused is the address of a port that nobody listens on.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "nats://" + l.Addr().String()
}

// intercom makes an intercom's credentials.
func (s standIn) intercom() []byte {
	s.t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		s.t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := s.Issuer().Intercom("front-gate", public)
	if err != nil {
		s.t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		s.t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		s.t.Fatal(err)
	}
	return creds
}

// revoke ends credentials.
func (s standIn) revoke(creds []byte) error {
	key, err := nkeys.ParseDecoratedUserNKey(creds)
	if err != nil {
		return err
	}
	public, err := key.PublicKey()
	if err != nil {
		return err
	}
	return s.Revoke(public)
}
