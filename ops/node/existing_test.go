package node_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gatebook/ops/node"
	"gatebook/ops/testkit"
)

// One cluster serves several tests: starting one takes seconds.
func TestCluster(t *testing.T) {
	c := testkit.StartCluster(t)
	a, b := c.Join(), c.Join()
	if a.Embedded() || a.URL() != c.URL() {
		t.Errorf("%s, embedded %v", a.URL(), a.Embedded())
	}
	nc, s := stream(t, a, 3)
	service(t, a)

	t.Run("asks and follows", func(t *testing.T) {
		k := newKeypad(t, b, "front-gate")
		keypad := dial(t, c.URL(), k.opts...)
		live := keypad.follow("live.front-gate.>")
		if _, err := keypad.Request("cmd.front-gate.sync.i-front-gate", nil, soon); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Request("ledger.front-gate.revoked", nil, soon); err != nil {
			t.Fatal(err)
		}
		if _, err := live.NextMsg(soon); err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{"ledger.x.y", "live.x.y", "$JS.API.INFO", "cmd.other.use.i-other"} {
			keypad.refusedPublish(subject)
		}
		keypad.refusedSubscribe("live.other.>")
	})

	t.Run("forged reply subjects go nowhere", func(t *testing.T) {
		before := lastSequence(t, s)
		mallory := person(t, a, "mallory")
		for _, reply := range []string{"ledger.front-gate.revoked", "live.front-gate.revoked"} {
			if err := mallory.PublishRequest("cmd.front-gate.issue.p-mallory", reply, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := mallory.Request("cmd.front-gate.issue.p-mallory", nil, soon); err != nil {
			t.Fatal(err)
		}
		if last := lastSequence(t, s); last != before {
			t.Errorf("the ledger went from %d to %d", before, last)
		}
	})

	t.Run("revoke reaches every server", func(t *testing.T) {
		former := newKeypad(t, a, "front-gate")
		var clients []*client
		for i := range 3 {
			clients = append(clients, dial(t, c.ServerURL(i), former.opts...))
		}
		if err := a.Revoke(former.public); err != nil {
			t.Fatal(err)
		}
		for _, cl := range clients {
			cl.awaitLost(cutOff)
		}
		refusedEverywhere(t, c, former)
	})

	t.Run("ledgers do not undo each other", func(t *testing.T) {
		var former []keypad
		var wg sync.WaitGroup
		for i, n := range []*node.Node{a, b, a, b, a, b} {
			k := newKeypad(t, n, "front-gate")
			former = append(former, k)
			wg.Go(func() {
				if err := n.Revoke(k.public); err != nil {
					t.Errorf("revoke %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		for _, k := range former {
			eventuallyRefusedEverywhere(t, c, k)
		}
	})

	t.Run("a server that was away learns", func(t *testing.T) {
		former := newKeypad(t, a, "front-gate")
		c.Kill(2)
		if err := a.Revoke(former.public); err != nil {
			t.Fatal(err)
		}
		revoked := time.Now()
		// After a tie the account is pushed again within a second or so, by
		// chance to the returned server too. This is about the time after.
		testkit.Eventually(t, soon, func() error {
			if time.Since(revoked) < 2*time.Second {
				return errors.New("a push may be under way")
			}
			return nil
		})
		c.Restart(2)
		// The old account lets the former key in. Left alone, servers compare
		// accounts for the first time after five seconds; the ledgers that see
		// it connect are faster.
		if cl, err := tryDial(t, c.ServerURL(2), former.opts...); err == nil {
			cl.awaitLost(2 * time.Second)
		}
		eventuallyRefusedEverywhere(t, c, former)
	})

	t.Run("the stream's leader steps down", func(t *testing.T) {
		c.StepDown("LEDGER")
		testkit.Eventually(t, soon, func() error {
			_, err := nc.Request("ledger.front-gate.revoked", nil, soon)
			return err
		})
	})
}

func refusedEverywhere(t *testing.T, c *testkit.Cluster, k keypad) {
	t.Helper()
	for i := range 3 {
		if _, err := tryDial(t, c.ServerURL(i), k.opts...); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("server %d: %v", i, err)
		}
	}
}

func eventuallyRefusedEverywhere(t *testing.T, c *testkit.Cluster, k keypad) {
	t.Helper()
	for i := range 3 {
		testkit.Eventually(t, soon, func() error {
			cl, err := tryDial(t, c.ServerURL(i), k.opts...)
			if err == nil {
				cl.Close()
				return errors.New("a former key was let in")
			}
			if !errors.Is(err, nats.ErrAuthorization) {
				return err
			}
			return nil
		})
	}
}

func TestJoinRefusesWhatIsNoBundle(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	plain, err := n.Issuer().Person("ana")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"plain": plain, "empty": nil, "noise": []byte("----BEGIN")} {
		path := filepath.Join(dir, name)
		if err := node.WriteSecret(path, data); err != nil {
			t.Fatal(err)
		}
		_, err := node.Join(n.URL(), path, slog.New(slog.DiscardHandler))
		if !errors.Is(err, node.ErrBundle) || !strings.Contains(err.Error(), "gatebook accounts") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := node.Join(n.URL(), filepath.Join(dir, "missing"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("joined without a file")
	}
}

func TestBundleIsACredsFile(t *testing.T) {
	dir := t.TempDir()
	if err := node.GenerateCluster(dir, node.ClusterOptions{}); err != nil {
		t.Fatal(err)
	}
	var o nats.Options
	if err := nats.UserCredentials(filepath.Join(dir, "ledger.creds"))(&o); err != nil {
		t.Fatal(err)
	}
	if _, err := o.UserJWT(); err != nil {
		t.Error(err)
	}
	if _, err := o.SignatureCB([]byte("nonce")); err != nil {
		t.Error(err)
	}
}

func TestGenerateCluster(t *testing.T) {
	dir := t.TempDir()
	if err := node.GenerateCluster(dir, node.ClusterOptions{Host: "a,b,c"}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	want := []string{"ledger.creds", "n1.conf", "n2.conf", "n3.conf"}
	for _, name := range want {
		if before[name] == nil {
			t.Fatalf("%s is missing", name)
		}
		if info, _ := os.Stat(filepath.Join(dir, name)); info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "n2.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !opts.SyncAlways || opts.Host != "b" || opts.Port != 4222 || len(opts.Routes) != 2 {
		t.Errorf("n2: sync always %v, %s:%d, routes %v", opts.SyncAlways, opts.Host, opts.Port, opts.Routes)
	}
	if err := node.GenerateCluster(dir, node.ClusterOptions{}); !errors.Is(err, node.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	for name, data := range before {
		if after, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(after, data) {
			t.Errorf("%s changed", name)
		}
	}
}

func TestGenerateClusterRefusesNonsense(t *testing.T) {
	for _, o := range []node.ClusterOptions{
		{Replicas: -1}, {Replicas: 6}, {Host: "a,b"}, {ClientPorts: []int{1}}, {RoutePorts: []int{1, 2, 70000}},
		{StoreDirs: []string{"/a"}}, {StoreDirs: []string{"a", "b", "c"}},
	} {
		dir := t.TempDir()
		if err := node.GenerateCluster(dir, o); !errors.Is(err, node.ErrCluster) {
			t.Errorf("%+v: %v", o, err)
		}
		if files := snapshot(t, dir); len(files) != 0 {
			t.Errorf("%+v left something behind", o)
		}
	}
}

// A server that syncs now and then must not go unnoticed.
func TestJoinWarnsOfLazyServers(t *testing.T) {
	for _, lazy := range []bool{true, false} {
		url, bundle := oneServer(t, lazy)
		var out lines
		n, err := node.Join(url, bundle, slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
		if warned := out.contain("does not sync each write"); warned != lazy {
			t.Errorf("lazy %v, warned %v: %s", lazy, warned, out.text)
		}
	}
}

func oneServer(t *testing.T, lazy bool) (url, bundle string) {
	t.Helper()
	dir := t.TempDir()
	if err := node.GenerateCluster(dir, node.ClusterOptions{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "n1.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.Port, opts.NoSigs, opts.NoLog, opts.SyncAlways = server.RANDOM_PORT, true, true, !lazy
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(soon) {
		t.Fatal("the server takes no connections")
	}
	return srv.ClientURL(), filepath.Join(dir, "ledger.creds")
}

type lines struct {
	mu   sync.Mutex
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = slices.Concat(l.text, p)
	return len(p), nil
}

func (l *lines) contain(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text, []byte(s))
}

func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
