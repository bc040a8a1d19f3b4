package client

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"gatebook/commands"
	"gatebook/events"

	"github.com/nats-io/nats.go"
)

// defaultTimeout is how long Dial may take, and a long reading may say nothing.
const defaultTimeout = 5 * time.Second

// Client is one person's connection to a ledger. It is safe for concurrent use.
type Client struct {
	nc      *nats.Conn
	actor   events.Actor
	timeout time.Duration
	calls   calls
}

// Option changes how a client behaves.
type Option func(*Client)

// Timeout bounds how long Dial may take, and how long an answer in several
// messages may pause. It is 5 s where nothing is said.
func Timeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// Dial connects as the person that the credentials are of. It gives up within
// the timeout. Each error is a *commands.Refusal: bad_request where the
// credentials or the URL are none, not_allowed where the server does not take
// them, unavailable where no server answers.
func Dial(url string, creds []byte, opts ...Option) (*Client, error) {
	actor, err := person(creds)
	if err != nil {
		return nil, err
	}
	c := &Client{actor: actor, timeout: defaultTimeout}
	for _, opt := range opts {
		opt(c)
	}
	if c.nc, err = nats.Connect(url, c.options(url, creds)...); err != nil {
		return nil, notConnected(url, err)
	}
	return c, nil
}

// Actor is who the client asks as.
func (c *Client) Actor() events.Actor { return c.actor }

// Close ends the connection. Requests under way end with an error.
func (c *Client) Close() { c.nc.Close() }

func (c *Client) options(urls string, creds []byte) []nats.Option {
	servers := strings.Count(urls, ",") + 1
	return []nats.Option{
		nats.Name("gatebook " + c.actor.Token()),
		nats.UserCredentialBytes(creds),
		nats.CustomInboxPrefix(events.PersonInbox(c.actor.ID)),
		nats.Timeout(c.timeout / time.Duration(servers)), // they are tried in turn
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		// What cannot be sent now fails now: sent later, it would be stored after
		// the caller was told that it was not.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused(err) }),
		nats.ClosedHandler(func(nc *nats.Conn) { c.calls.end(lost(nc.LastError())) }),
	}
}

// refused: a server that does not let something through says so beside the
// request, which would otherwise wait for its answer in vain.
func (c *Client) refused(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		c.calls.deny(err.Error(), commands.Refuse(commands.NotAllowed, "use credentials that this ledger gave out",
			"the server does not let %s ask for this", c.actor.By()))
	}
}

// notConnected says why nobody could be asked.
func notConnected(server string, err error) error {
	bad := (*url.Error)(nil)
	switch {
	case errors.As(err, &bad) && bad.Op == "parse":
		return commands.Refuse(commands.BadRequest, "give one such as nats://127.0.0.1:4222", "%q is not the URL of a server", server)
	case unwelcome(err):
		return unwelcomeRefusal()
	}
	return commands.Refuse(commands.Unavailable, "check the address, and that the ledger runs",
		"no ledger can be reached at %s: %v", server, err)
}

// lost is what requests end with whose connection ended for good.
func lost(err error) cut {
	if unwelcome(err) {
		return cut{unwelcomeRefusal()}
	}
	return cut{commands.Refuse(commands.Unavailable, "connect again", "the connection to the ledger has ended")}
}

func unwelcome(err error) bool {
	for _, is := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func unwelcomeRefusal() *commands.Refusal {
	return commands.Refuse(commands.NotAllowed, "use credentials that this ledger gave out and has not ended",
		"the server does not accept these credentials")
}
