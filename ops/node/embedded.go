package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	// Dead clients go after pings that nobody answered: 8 to 10 s.
	serverPing     = 2 * time.Second
	serverPingsOut = 3
	authTimeout    = 2 // seconds, as the server counts
	readyWithin    = 10 * time.Second
	// storeLimit is more than any disk: the ledger watches free space itself,
	// and the server's own limit (75 % of what was free at start) would stop
	// revokes too.
	storeLimit = int64(1) << 60
)

// Config is an embedded server.
type Config struct {
	// Folder keeps the keys and the store. Once Start succeeds it belongs to
	// the node: Close closes it.
	Folder *Folder
	// Listen is host:port for people and intercoms; port 0 takes a free one.
	Listen string
	// SyncAlways makes the server fsync each write before it acknowledges it.
	// Without it whoever acknowledges to others must sync the store first.
	SyncAlways bool
	// ReadyWithin is how long opening may take; 10 s if zero. A large store
	// that was not closed cleanly takes longer.
	ReadyWithin time.Duration
	// Log takes what the server says; slog.Default() if nil.
	Log *slog.Logger
	// OnWarning is told each warning and error of the server, damage in the
	// store among them. It must neither block nor call the node.
	OnWarning func(string)
}

// Start runs a server in this process and returns when it takes connections.
// After an error nothing runs and the folder is still the caller's.
func Start(c Config) (*Node, error) {
	n, err := start(c)
	if err != nil {
		return nil, fmt.Errorf("start embedded server: %w", err)
	}
	return n, nil
}

func start(c Config) (*Node, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	keys, err := openKeyring(c.Folder)
	if err != nil {
		return nil, err
	}
	edge, err := newEmbeddedEdge(c.Folder, keys, c.Log)
	if err != nil {
		return nil, err
	}
	opts, err := options(c, keys, edge.resolver)
	if err != nil {
		return nil, err
	}
	bridge := newLogBridge(c.Log, c.OnWarning)
	srv, err := run(opts, bridge, c.ReadyWithin)
	if err != nil {
		return nil, err
	}
	edge.srv = srv
	n := &Node{log: c.Log, edge: edge, srv: srv, folder: c.Folder, bridge: bridge}
	if err := n.embed(keys); err != nil {
		return nil, errors.Join(err, stop(srv))
	}
	return n, nil
}

// embed makes the node's own two users. They exist in memory only and connect
// over a pipe only, so there is nothing to steal.
func (n *Node) embed(keys keyring) (err error) {
	acc, err := n.srv.LookupAccount(keys.ledger.id)
	if err != nil {
		return fmt.Errorf("account LEDGER: %w", err)
	}
	if !acc.JetStreamEnabled() {
		return errors.New("account LEDGER has no JetStream, the reason is in the log")
	}
	ledger := &Issuer{account: keys.ledger.id, signer: keys.ledger}
	if n.ledger, err = ledger.mint(jwt.ConnectionTypeInProcess, ledgerUserClaims); err != nil {
		return err
	}
	n.issuer = &Issuer{account: keys.edge.id, signer: keys.edge}
	if n.answers, err = n.issuer.mint(jwt.ConnectionTypeInProcess, answersClaims); err != nil {
		return err
	}
	n.via = []nats.Option{nats.InProcessServer(n.srv)}
	n.url, err = reachable(n.srv.Addr())
	return err
}

func options(c Config, keys keyring, resolver server.AccountResolver) (*server.Options, error) {
	host, port, err := splitListen(c.Listen)
	if err != nil {
		return nil, err
	}
	return &server.Options{
		ServerName:       "gatebook",
		Host:             host,
		Port:             port,
		NoSigs:           true,
		PingInterval:     serverPing,
		MaxPingsOut:      serverPingsOut,
		AuthTimeout:      authTimeout,
		TrustedOperators: []*jwt.OperatorClaims{keys.operatorClaims()},
		SystemAccount:    keys.system.id,
		AccountResolver:  resolver,
		// A client that does not read must not slow down the connection that
		// answers all others: it misses messages instead, and catches up.
		NoFastProducerStall: true,

		JetStream:              true,
		StoreDir:               c.Folder.Dir(), // the server adds jetstream/
		SyncAlways:             c.SyncAlways,
		JetStreamMaxStore:      storeLimit,
		JetStreamLimits:        server.JSLimitOpts{DefaultMaxConsumers: -1},
		DisableJetStreamBanner: true,
	}, nil
}

func splitListen(listen string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(p)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q is not host:port", listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// run starts the server and waits until it is ready or has said why not.
func run(opts *server.Options, bridge *logBridge, within time.Duration) (*server.Server, error) {
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	srv.SetLoggerV2(bridge, false, false, false)
	if within == 0 {
		within = readyWithin
	}
	if err := await(srv, bridge, within); err != nil {
		return nil, errors.Join(err, stop(srv))
	}
	return srv, nil
}

func await(srv *server.Server, bridge *logBridge, within time.Duration) error {
	started := make(chan struct{})
	go func() {
		srv.Start() // returns when the store is open and the port listens
		close(started)
	}()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-started:
	case why := <-bridge.fatal:
		return errors.New(why)
	case <-late.C:
		return fmt.Errorf("not ready after %v; a large store that was not closed cleanly needs longer, see the log and start again", within)
	}
	select {
	case why := <-bridge.fatal:
		return errors.New(why)
	default:
	}
	if !srv.ReadyForConnections(time.Second) || !srv.JetStreamEnabled() {
		return errors.New("the server started but takes no connections, the reason is in the log")
	}
	return nil
}

// stop ends the server; when it returns nil, the store is written and closed.
func stop(srv *server.Server) error {
	stopped := make(chan struct{})
	go func() {
		srv.Shutdown()
		srv.WaitForShutdown()
		close(stopped)
	}()
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	select {
	case <-stopped:
		return nil
	case <-late.C:
		return fmt.Errorf("stop embedded server: still writing after %v", stopWithin)
	}
}

// reachable is the URL for clients on this machine: one that listens on every
// address is reached over loopback.
func reachable(addr net.Addr) (string, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("the server listens on %v, which is no TCP address", addr)
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: "nats", Host: net.JoinHostPort(host, strconv.Itoa(tcp.Port))}
	return u.String(), nil
}
