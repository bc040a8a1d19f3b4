package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"gatebook/events"
	"gatebook/ops/node"
	"gatebook/ops/testkit"
)

const soon = 5 * time.Second

// client is a connection from outside that remembers what it was refused.
type client struct {
	*nats.Conn
	t  *testing.T
	mu sync.Mutex
	// refused are the server's errors, as the client library hands them on.
	refused []string
	lost    chan struct{}
}

func dial(t *testing.T, url string, opts ...nats.Option) *client {
	t.Helper()
	c, err := tryDial(t, url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, url string, opts ...nats.Option) (*client, error) {
	c := &client{t: t, lost: make(chan struct{})}
	nc, err := nats.Connect(url, append([]nats.Option{
		nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.refused = append(c.refused, err.Error())
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(c.lost) }),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	c.Conn = nc
	t.Cleanup(nc.Close)
	return c, nil
}

func (c *client) wasRefused(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.refused {
		if strings.Contains(r, what) {
			return true
		}
	}
	return false
}

func (c *client) awaitRefusal(what string) {
	c.t.Helper()
	testkit.Eventually(c.t, soon, func() error {
		if c.wasRefused(what) {
			return nil
		}
		return fmt.Errorf("not refused: %s", what)
	})
}

// refusedPublish publishes and waits for the server to say no. A refused publish
// returns nil, even after a flush.
func (c *client) refusedPublish(subject string) {
	c.t.Helper()
	if err := c.Publish(subject, []byte("forged")); err != nil {
		c.t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		c.t.Fatal(err)
	}
	c.awaitRefusal(fmt.Sprintf("Permissions Violation for Publish to %q", subject))
}

func (c *client) refusedSubscribe(subject string) {
	c.t.Helper()
	if _, err := c.SubscribeSync(subject); err != nil {
		c.t.Fatal(err)
	}
	c.awaitRefusal(fmt.Sprintf("Permissions Violation for Subscription to %q", subject))
}

// follow subscribes and returns when the server has the subscription.
func (c *client) follow(subject string) *nats.Subscription {
	c.t.Helper()
	sub, err := c.SubscribeSync(subject)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		c.t.Fatal(err)
	}
	return sub
}

func (c *client) awaitLost(within time.Duration) {
	c.t.Helper()
	select {
	case <-c.lost:
	case <-time.After(within):
		c.t.Fatalf("still connected after %v", within)
	}
}

func creds(data []byte) nats.Option { return nats.UserCredentialBytes(data) }

// person connects as a person with a fresh key.
func person(t *testing.T, n *node.Node, id string) *client {
	t.Helper()
	data, err := n.Issuer().Person(id)
	if err != nil {
		t.Fatal(err)
	}
	return dial(t, n.URL(), creds(data), nats.CustomInboxPrefix(events.PersonInbox(id)))
}

// keypad is an intercom's key and the options to connect with it.
type keypad struct {
	key    nkeys.KeyPair
	public string
	opts   []nats.Option
}

func newKeypad(t *testing.T, n *node.Node, id string) keypad {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	return newKeypadFor(t, n, id, keypad{key: kp})
}

// newKeypadFor issues new credentials for the key of a keypad.
func newKeypadFor(t *testing.T, n *node.Node, id string, k keypad) keypad {
	t.Helper()
	public, err1 := k.key.PublicKey()
	seed, err2 := k.key.Seed()
	token, err3 := n.Issuer().Intercom(id, public)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return keypad{key: k.key, public: public, opts: []nats.Option{
		nats.UserJWTAndSeed(token, string(seed)),
		nats.CustomInboxPrefix(events.IntercomInbox(id, public)),
	}}
}

// service answers every request, as the ledger's endpoints will.
func service(t *testing.T, n *node.Node) {
	t.Helper()
	nc, err := n.Answers()
	if err != nil {
		t.Fatal(err)
	}
	_, err = nc.Subscribe("cmd.>", func(m *nats.Msg) { m.Respond([]byte(m.Subject)) })
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stream makes LEDGER as the ledger makes it, as far as subjects go.
func stream(t *testing.T, n *node.Node, replicas int) (*nats.Conn, jetstream.Stream) {
	t.Helper()
	nc, err := n.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: events.Ledger, Subjects: []string{events.LedgerSubjects}, Replicas: replicas,
		RePublish: &jetstream.RePublish{Source: events.LedgerSubjects, Destination: "live.{{wildcard(1)}}.{{wildcard(2)}}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return nc, s
}

func lastSequence(t *testing.T, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.LastSeq
}

// edgeSpy sees all of account EDGE: a user without limits, made with the keys
// of the folder, as nobody in production is.
func edgeSpy(t *testing.T, url, dir string) *client {
	t.Helper()
	return dial(t, url, nats.UserJWTAndSeed(spyLogin(t, dir)))
}

func spyLogin(t *testing.T, dir string) (token, seed string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "accounts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var seeds struct{ Edge string }
	if err := json.Unmarshal(data, &seeds); err != nil {
		t.Fatal(err)
	}
	account, err1 := nkeys.FromSeed([]byte(seeds.Edge))
	user, err2 := nkeys.CreateUser()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	public, err1 := user.PublicKey()
	private, err2 := user.Seed()
	token, err3 := jwt.NewUserClaims(public).Encode(account)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return token, string(private)
}
