package seal_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gatebook/events/seal"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startCluster starts three servers that know each other's routes.
func startCluster(t testing.TB, dir string) jetstream.JetStream {
	t.Helper()
	routes := []*url.URL{freeRoute(t), freeRoute(t), freeRoute(t)}
	servers := make([]*server.Server, len(routes))
	for i, r := range routes {
		port, err := strconv.Atoi(r.Port())
		ok(t, err)
		servers[i], err = server.NewServer(&server.Options{
			ServerName: fmt.Sprint("s", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
			JetStream: true, SyncAlways: true, StoreDir: filepath.Join(dir, fmt.Sprint("s", i)),
			Cluster: server.ClusterOpts{Name: "keys", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		ok(t, err)
		servers[i].Start()
		t.Cleanup(func() { servers[i].Shutdown(); servers[i].WaitForShutdown() })
	}
	for _, srv := range servers {
		if !srv.ReadyForConnections(time.Minute) {
			t.Fatal("server is not ready")
		}
	}
	nc, err := nats.Connect(servers[0].ClientURL())
	ok(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	ok(t, err)
	return js
}

func freeRoute(t testing.TB) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	ok(t, l.Close())
	return &url.URL{Scheme: "nats", Host: l.Addr().String()}
}

// openClusterKeys asks until the cluster has three peers and a leader.
func openClusterKeys(t testing.TB, js jetstream.JetStream, m *seal.Master) *seal.Keys {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		keys, err := seal.OpenKeys(try, js, m, 3)
		cancel()
		if err == nil {
			return keys
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("open keys on a cluster: %v", err)
		}
	}
}

// Replicas refuse a second message with other codes than one server does.
func TestKeysOnThreeReplicas(t *testing.T) {
	m := newMaster(t)
	js := startCluster(t, t.TempDir())
	keys := openClusterKeys(t, js, m)
	want, ids := putMany(t, keys, 50)
	wantAll(t, keys, want)
	ok(t, keys.Put(within(t), ids[0], want[ids[0]]))
	ok(t, keys.Destroy(within(t), ids[0]))
	ok(t, keys.Destroy(within(t), ids[0]))
	if _, err := keys.Get(within(t), ids[0]); !errors.Is(err, seal.ErrNoKey) {
		t.Fatalf("destroyed: got error %v", err)
	}
	all, err := openClusterKeys(t, js, m).All(within(t))
	ok(t, err)
	for _, id := range ids[1:] {
		if all[id] != want[id] {
			t.Fatalf("key of %s is another", id)
		}
	}
	race(t, keys)
}
