package node

import (
	"errors"
	"fmt"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"gatebook/events"
)

// What one user may take of a server. A person's program follows a few things
// at once; an intercom follows one and asks. What is larger is cut off.
const (
	personSubscriptions   = 64
	personPayload         = 256 << 10
	intercomSubscriptions = 16
	intercomPayload       = 64 << 10
)

// ErrName is what an id or a public key that cannot name a user gives.
var ErrName = errors.New("malformed name")

// intercomCommands are what an intercom may ask for, for itself.
func intercomCommands() []string {
	return []string{"use", "failed", "sync", "receipt", "attempt", "reported"}
}

// Issuer makes the credentials of people and intercoms, in account EDGE. What a
// user may do is in the signed credentials, so the servers enforce it and
// nothing needs to be kept here.
type Issuer struct {
	account string
	signer  identity // the account's own key, or one of its signing keys
}

// Person makes credentials, with a new key, that ask as that person of any
// intercom and hear the answers.
func (i *Issuer) Person(id string) (creds []byte, err error) {
	if !events.ValidID(id) {
		return nil, fmt.Errorf("issue credentials of person %q: %w", id, ErrName)
	}
	user, err := newIdentity(nkeys.PrefixByteUser)
	if err != nil {
		return nil, fmt.Errorf("issue credentials of person %s: %w", id, err)
	}
	token, err := i.sign(personClaims(id, user.id))
	if err != nil {
		return nil, fmt.Errorf("issue credentials of person %s: %w", id, err)
	}
	seed, err := user.key.Seed()
	if err != nil {
		return nil, fmt.Errorf("issue credentials of person %s: %w", id, err)
	}
	return jwt.FormatUserConfig(token, seed)
}

// Intercom makes the user JWT of an intercom for a key whose seed the caller
// keeps. It asks for itself, follows its own live events and hears answers on
// the inbox that names this key.
func (i *Issuer) Intercom(id, publicKey string) (userJWT string, err error) {
	if !events.ValidID(id) {
		return "", fmt.Errorf("issue credentials of intercom %q: %w", id, ErrName)
	}
	if !nkeys.IsValidPublicUserKey(publicKey) {
		return "", fmt.Errorf("issue credentials of intercom %s: public key: %w", id, ErrName)
	}
	token, err := i.sign(intercomClaims(id, publicKey))
	if err != nil {
		return "", fmt.Errorf("issue credentials of intercom %s: %w", id, err)
	}
	return token, nil
}

// PublicKey is the key that a creds file is of, as Revoke takes it.
func PublicKey(creds []byte) (string, error) {
	kp, err := nkeys.ParseDecoratedUserNKey(creds)
	if err != nil {
		return "", fmt.Errorf("read creds: %w", err)
	}
	defer kp.Wipe()
	return kp.PublicKey()
}

func personClaims(id, key string) *jwt.UserClaims {
	c := userClaims("p-"+id, key, jwt.ConnectionTypeStandard)
	token := events.Actor{Kind: events.PersonActor, ID: id}.Token()
	c.Pub.Allow.Add("cmd.*.*." + token)
	c.Sub.Allow.Add(events.PersonInbox(id) + ".>")
	c.Limits.Subs = personSubscriptions
	c.Limits.Payload = personPayload
	return c
}

func intercomClaims(id, key string) *jwt.UserClaims {
	c := userClaims("i-"+id, key, jwt.ConnectionTypeStandard)
	self := events.Actor{Kind: events.IntercomActor, ID: id}
	for _, command := range intercomCommands() {
		c.Pub.Allow.Add(events.Request(id, command, self))
	}
	c.Sub.Allow.Add(events.Live(id), events.IntercomInbox(id, key)+".>")
	c.Limits.Subs = intercomSubscriptions
	c.Limits.Payload = intercomPayload
	return c
}

// answersClaims is the user that answers requests. Its one way out is an inbox:
// a caller chooses the reply subject, and with more rights here a reply subject
// such as ledger.front-gate.revoked would write an event.
func answersClaims(key, connection string) *jwt.UserClaims {
	c := userClaims("answers", key, connection)
	c.Sub.Allow.Add("cmd.>", "$SRV.>")
	c.Pub.Allow.Add(events.InboxSubjects)
	return c
}

// ledgerUserClaims is the user that appends: all of account LEDGER.
func ledgerUserClaims(key, connection string) *jwt.UserClaims {
	return userClaims("ledger", key, connection)
}

// userClaims begins a user. With a list of what is allowed a server denies all
// else; without a response permission no reply subject widens it; and only one
// kind of connection is taken, so no leaf node, websocket or MQTT client gets
// in with these credentials where a server offers them.
func userClaims(name, key, connection string) *jwt.UserClaims {
	c := jwt.NewUserClaims(key)
	c.Name = name
	c.AllowedConnectionTypes.Add(connection)
	return c
}

func (i *Issuer) sign(c *jwt.UserClaims) (string, error) {
	if i.signer.id != i.account {
		c.IssuerAccount = i.account
	}
	return c.Encode(i.signer.key)
}

// login is a user JWT and the seed that proves it.
type login struct {
	token string
	seed  string
}

// mint makes a login with a new key.
func (i *Issuer) mint(connection string, claims func(key, connection string) *jwt.UserClaims) (login, error) {
	user, err := newIdentity(nkeys.PrefixByteUser)
	if err != nil {
		return login{}, err
	}
	token, err := i.sign(claims(user.id, connection))
	if err != nil {
		return login{}, fmt.Errorf("sign user: %w", err)
	}
	seed, err := user.key.Seed()
	if err != nil {
		return login{}, fmt.Errorf("read seed: %w", err)
	}
	return login{token: token, seed: string(seed)}, nil
}
