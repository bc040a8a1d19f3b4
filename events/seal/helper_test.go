package seal_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"testing"
	"time"

	"gatebook/events/seal"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

const (
	intercom = "north-gate"
	codeA    = "01JD2Z3Q4R5S6T7V8W9X0Y1Z2A"
	codeB    = "01JD2Z3Q4R5S6T7V8W9X0Y1Z2B"
)

var guest = seal.Guest{Digits: "4071", Name: "Ada <&> Łovelace", Mobile: "+44 20 7946 0958", ValidityS: 3600}

func newKey(t testing.TB) seal.Key {
	t.Helper()
	k, err := seal.NewKey(rand.Reader)
	ok(t, err)
	return k
}

func newMaster(t testing.TB) *seal.Master {
	t.Helper()
	m, err := seal.LoadMaster(filepath.Join(t.TempDir(), "master.key"), true)
	ok(t, err)
	return m
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// node is one server without a port, with its store in dir.
type node struct {
	srv *server.Server
	nc  *nats.Conn
	js  jetstream.JetStream
}

func startNode(t testing.TB, dir string) *node {
	t.Helper()
	return startServer(t, &server.Options{JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true, NoLog: true})
}

func startServer(t testing.TB, o *server.Options) *node {
	t.Helper()
	n, err := launch(o)
	ok(t, err)
	t.Cleanup(n.stop)
	return n
}

func launch(o *server.Options) (*node, error) {
	srv, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	srv.Start()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	return &node{srv, nc, js}, err
}

func (n *node) stop() {
	n.nc.Close()
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

func openKeys(t testing.TB, n *node, m *seal.Master) *seal.Keys {
	t.Helper()
	keys, err := seal.OpenKeys(within(t), n.js, m, 1)
	ok(t, err)
	return keys
}

// putMany stores n new keys and gives them by code id, and the ids in order.
func putMany(t testing.TB, keys *seal.Keys, n int) (map[string]seal.Key, []string) {
	t.Helper()
	all, ids := make(map[string]seal.Key, n), make([]string, n)
	for i := range ids {
		ids[i] = ulid.Make().String()
		all[ids[i]] = newKey(t)
		ok(t, keys.Put(within(t), ids[i], all[ids[i]]))
	}
	return all, ids
}

func wantAll(t testing.TB, keys *seal.Keys, want map[string]seal.Key) {
	t.Helper()
	got, err := keys.All(within(t))
	ok(t, err)
	if len(got) != len(want) {
		t.Fatalf("got %d keys, want %d", len(got), len(want))
	}
	for id, k := range want {
		if got[id] != k {
			t.Fatalf("key of %s is another", id)
		}
	}
}
