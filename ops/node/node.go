package node

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const (
	// reconnectWait is how long a connection rests between two tries. The
	// answers that it owes are worth something for two seconds only.
	reconnectWait = 100 * time.Millisecond
	// clientPing and clientPingsOut find a dead server within some six seconds.
	clientPing     = 2 * time.Second
	clientPingsOut = 2
	// stopWithin is how long an embedded server may take to stop.
	stopWithin = 3 * time.Second
)

// ErrClosed is what a Node gives after Close.
var ErrClosed = errors.New("node is closed")

// Node is the NATS under one ledger. It is safe for concurrent use.
type Node struct {
	url     string
	log     *slog.Logger
	issuer  *Issuer
	ledger  login
	answers login
	via     []nats.Option // how the servers are reached
	edge    revoker

	// These are of an embedded server and nil for an existing one.
	srv    *server.Server
	folder *Folder
	bridge *logBridge

	mu     sync.Mutex
	conns  []*nats.Conn
	closed bool

	closing  sync.Once
	closeErr error
}

// revoker is account EDGE, as an embedded server or a cluster of them has it.
type revoker interface {
	revoke(publicKeys []string) error
	close()
}

// Ledger connects to account LEDGER with all rights there: it appends and reads.
// While the servers are away publishing fails at once instead of being kept for
// later, so what the caller gave up is never stored after all. The connection
// is closed by Close.
func (n *Node) Ledger() (*nats.Conn, error) { return n.dial("ledger", n.ledger) }

// Answers connects to account EDGE as the user that answers: it may subscribe
// to cmd.> and $SRV.> and publish on _in.> and nothing else. An answer to a
// reply subject outside is refused by the server and logged. The connection is
// closed by Close.
func (n *Node) Answers() (*nats.Conn, error) { return n.dial("answers", n.answers) }

// Issuer makes the credentials of people and intercoms.
func (n *Node) Issuer() *Issuer { return n.issuer }

// Revoke ends the connections of those users' keys at once and refuses the keys
// for ever. It may be called again with the same keys: a ledger does so at each
// start with every former key that its events name. An error means that some
// server may still let some of them in: call it again. A server of a cluster
// that does not answer is no error; it is told as soon as it does.
//
// New keys make the servers rebuild what EDGE imports, and a subscription to
// live. that is made in that instant hears nothing for as long as it stands.
// Who follows must notice by catching up otherwise, and subscribe anew.
func (n *Node) Revoke(publicKeys ...string) error {
	for _, key := range publicKeys {
		// The servers also know "*", which would lock everybody out.
		if !nkeys.IsValidPublicUserKey(key) {
			return fmt.Errorf("revoke %q: %w", key, ErrName)
		}
	}
	if len(publicKeys) == 0 {
		return nil
	}
	if n.isClosed() {
		return fmt.Errorf("revoke: %w", ErrClosed)
	}
	if err := n.edge.revoke(publicKeys); err != nil {
		return fmt.Errorf("revoke %d keys: %w", len(publicKeys), err)
	}
	return nil
}

// URL is where people and intercoms connect.
func (n *Node) URL() string { return n.url }

// Embedded reports whether the server runs in this process.
func (n *Node) Embedded() bool { return n.srv != nil }

// Warnings counts what an embedded server warned of or failed at so far.
func (n *Node) Warnings() uint64 {
	if n.bridge == nil {
		return 0
	}
	return n.bridge.warnings.Load()
}

// Close closes the connections it gave out, stops an embedded server, which
// writes out what it holds, and then lets go of the folder. Drain connections
// first: what they have not sent is lost. A server that is still writing after
// 3 s is an error, and keeps the folder locked until the process ends, so that
// no second one opens the same store.
func (n *Node) Close() error {
	n.closing.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Node) close() error {
	n.mu.Lock()
	n.closed = true
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	for _, nc := range conns {
		nc.Close()
	}
	n.edge.close()
	if n.srv == nil {
		return nil
	}
	if err := stop(n.srv); err != nil {
		return err
	}
	return n.folder.Close()
}

func (n *Node) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

func (n *Node) dial(name string, l login) (*nats.Conn, error) {
	if n.isClosed() {
		return nil, fmt.Errorf("connect %s: %w", name, ErrClosed)
	}
	nc, err := connect(n.url, name, l, n.log, n.via...)
	if err != nil {
		return nil, fmt.Errorf("connect %s to %s: %w", name, n.url, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		nc.Close()
		return nil, fmt.Errorf("connect %s: %w", name, ErrClosed)
	}
	n.conns = append(n.conns, nc)
	return nc, nil
}

// connect never gives up once it was connected: a server that refuses for a
// while, because it does not know the account yet, is asked again.
func connect(url, name string, l login, log *slog.Logger, via ...nats.Option) (*nats.Conn, error) {
	log = log.With("connection", name)
	opts := append([]nats.Option{
		nats.Name("gatebook " + name),
		nats.UserJWTAndSeed(l.token, l.seed),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(clientPing),
		nats.MaxPingsOutstanding(clientPingsOut),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			log.Warn("nats refused or dropped something", "subject", subjectOf(sub), "error", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("nats connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("nats connection is back", "server", nc.ConnectedServerName())
		}),
	}, via...)
	return nats.Connect(url, opts...)
}

func subjectOf(sub *nats.Subscription) string {
	if sub == nil {
		return ""
	}
	return sub.Subject
}
