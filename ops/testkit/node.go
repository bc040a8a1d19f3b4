package testkit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gatebook/ops/node"
)

const (
	clusterSize   = 3
	clusterWithin = 20 * time.Second
	// Ports for a cluster are taken from below the range that the system hands
	// out by itself, so that none is taken while its server is down.
	lowestPort = 15000
	ports      = 15000
)

// StartNode runs an embedded server on dir, on a free port of loopback, and
// closes it when the test ends. After n.Close it may be called again on dir.
func StartNode(t testing.TB, dir string, opts ...func(*node.Config)) *node.Node {
	t.Helper()
	folder, err := node.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := node.Config{Folder: folder, Listen: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, opt := range opts {
		opt(&c)
	}
	n, err := node.Start(c)
	if err != nil {
		t.Fatal(errors.Join(err, folder.Close()))
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close node: %v", err)
		}
	})
	t.Logf("nats-server %s on %s", server.VERSION, n.URL())
	return n
}

// Cluster is three nats-servers in this process, made by node.GenerateCluster.
// Its methods fail the test themselves and must be called from the goroutine
// that runs it.
type Cluster struct {
	// Bundle is the file that node.Join takes.
	Bundle string

	t       testing.TB
	dir     string
	urls    []string
	servers []*server.Server // nil while killed
}

// StartCluster runs a cluster on loopback with temporary stores, and returns
// when it can place streams.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	dir := t.TempDir()
	free := freePorts(t, 2*clusterSize)
	err := node.GenerateCluster(dir, node.ClusterOptions{
		Replicas: clusterSize, ClientPorts: free[:clusterSize], RoutePorts: free[clusterSize:],
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{
		Bundle: filepath.Join(dir, "ledger.creds"), t: t, dir: dir, servers: make([]*server.Server, clusterSize),
	}
	t.Cleanup(c.stop)
	for i, port := range free[:clusterSize] {
		c.urls = append(c.urls, "nats://127.0.0.1:"+strconv.Itoa(port))
		c.run(i)
	}
	c.awaitLeader()
	t.Logf("three nats-servers %s on %s", server.VERSION, c.URL())
	return c
}

// URL is all servers, separated by commas.
func (c *Cluster) URL() string { return strings.Join(c.urls, ",") }

// ServerURL is server i alone.
func (c *Cluster) ServerURL(i int) string { return c.urls[i] }

// Join stands a node on the cluster and closes it when the test ends.
func (c *Cluster) Join() *node.Node {
	c.t.Helper()
	n, err := node.Join(c.URL(), c.Bundle, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { n.Close() })
	return n
}

// StepDown makes the leader of a stream give up its lead, and returns when the
// stream has a leader again. Publishing may find no responders a moment longer,
// until all servers know where that is.
func (c *Cluster) StepDown(stream string) {
	c.t.Helper()
	n, err := node.Join(c.URL(), c.Bundle, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		c.t.Fatal(err)
	}
	defer n.Close()
	nc, err := n.Ledger()
	if err != nil {
		c.t.Fatal(err)
	}
	Eventually(c.t, clusterWithin, func() error {
		m, err := nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, time.Second)
		if err == nil && !strings.Contains(string(m.Data), `"success":true`) {
			err = errors.New(string(m.Data))
		}
		return err
	})
	Eventually(c.t, clusterWithin, func() error {
		m, err := nc.Request("$JS.API.STREAM.INFO."+stream, nil, time.Second)
		if err == nil && !strings.Contains(string(m.Data), `"leader":`) {
			err = fmt.Errorf("no leader: %s", m.Data)
		}
		return err
	})
}

// Kill stops server i and with it all its connections. It is no kill -9: in
// this process a server can only be shut down, and writes what it holds.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	srv := c.servers[i]
	if srv == nil {
		c.t.Fatalf("server %d is not running", i)
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	c.servers[i] = nil
}

// Restart runs the killed server i again on its old store, and returns when it
// is back in the cluster.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	c.run(i)
	c.awaitLeader()
}

func (c *Cluster) run(i int) {
	c.t.Helper()
	opts, err := server.ProcessConfigFile(filepath.Join(c.dir, "n"+strconv.Itoa(i+1)+".conf"))
	if err != nil {
		c.t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts)
	if err != nil {
		c.t.Fatal(err)
	}
	c.servers[i] = srv
	srv.Start()
	if !srv.ReadyForConnections(clusterWithin) {
		c.t.Fatalf("server %d does not take connections", i)
	}
}

// awaitLeader waits until one of the running servers leads and all of them have
// caught up with it. Without a majority there is nothing to wait for.
func (c *Cluster) awaitLeader() {
	c.t.Helper()
	var running []*server.Server
	for _, srv := range c.servers {
		if srv != nil {
			running = append(running, srv)
		}
	}
	if len(running) <= clusterSize/2 {
		return
	}
	Eventually(c.t, clusterWithin, func() error {
		led := false
		for _, srv := range running {
			if !srv.JetStreamIsCurrent() {
				return fmt.Errorf("server %s has not caught up", srv.Name())
			}
			led = led || srv.JetStreamIsLeader()
		}
		if !led {
			return errors.New("no server leads")
		}
		return nil
	})
}

func (c *Cluster) stop() {
	for _, srv := range c.servers {
		if srv != nil {
			srv.Shutdown()
		}
	}
	for _, srv := range c.servers {
		if srv != nil {
			srv.WaitForShutdown()
		}
	}
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	var free []int
	for tries := 0; len(free) < n; tries++ {
		port := lowestPort + rand.IntN(ports)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			if tries > 100*n {
				t.Fatalf("find free ports: %v", err)
			}
			continue
		}
		held, free = append(held, l), append(free, port)
	}
	return free
}
