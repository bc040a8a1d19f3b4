package node_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatebook/ops/node"
	"gatebook/ops/testkit"
)

func TestRestartKeepsCredentialsAndStreams(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	nc, _ := stream(t, n, 1)
	if _, err := nc.Request("ledger.front-gate.configured", []byte("fact"), soon); err != nil {
		t.Fatal(err)
	}
	ana, err := n.Issuer().Person("ana")
	if err != nil {
		t.Fatal(err)
	}
	k := newKeypad(t, n, "front-gate")
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Fatal(err)
	}
	if !nc.IsClosed() {
		t.Error("a connection outlived its node")
	}
	if _, err := n.Ledger(); !errors.Is(err, node.ErrClosed) {
		t.Errorf("a closed node connects: %v", err)
	}

	n = testkit.StartNode(t, dir)
	dial(t, n.URL(), creds(ana))
	dial(t, n.URL(), k.opts...)
	_, s := stream(t, n, 1)
	m, err := s.GetMsg(t.Context(), 1)
	if err != nil || string(m.Data) != "fact" {
		t.Errorf("after the restart: %v %v", m, err)
	}
}

func TestOnlyOneNodeOnAFolder(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	if _, err := node.OpenFolder(dir); !errors.Is(err, node.ErrInUse) {
		t.Errorf("open a folder in use: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := node.OpenFolder(dir)
	if err != nil {
		t.Fatalf("open after close: %v", err)
	}
	f.Close()
}

func TestStartSaysWhyNot(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ listen, says string }{
		{taken.Addr().String(), "address already in use"},
		{"nonsense", "not host:port"},
		{"127.0.0.1:70000", "not host:port"},
	} {
		f, err := node.OpenFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		_, err = node.Start(node.Config{Folder: f, Listen: tt.listen, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("listen on %s: %v", tt.listen, err)
		}
		f.Close()
	}
}

// Keys that are lost or damaged must not be made anew: the streams would belong
// to accounts that nobody has.
func TestKeysAreNeverReplaced(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"swapped": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.Replace(string(data), `"SO`, `"SA`, 1)), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := testkit.StartNode(t, dir)
			stream(t, n, 1)
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "accounts.json")); err != nil {
				t.Fatal(err)
			}
			f, err := node.OpenFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			_, err = node.Start(node.Config{Folder: f, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), "backup") {
				t.Errorf("started: %v", err)
			}
		})
	}
}

func TestSecretsAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	if err := n.Revoke(newKeypad(t, n, "front-gate").public); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v %v", info.Mode(), err)
	}
	for _, name := range []string{"accounts.json", "revoked.json", "lock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "jetstream")); err != nil {
		t.Error(err)
	}
}

// The server stops at 1,000 consumers a stream unless told otherwise, and gives
// a store three quarters of the free disk.
func TestNoLimitOfTheServersOwn(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	nc, s := stream(t, n, 1)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1001 {
		_, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
			Name: fmt.Sprintf("c%d", i), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
			InactiveThreshold: time.Minute,
		})
		if err != nil {
			t.Fatalf("consumer %d: %v", i, err)
		}
	}
	info, err := js.AccountInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Limits.MaxStore != -1 || info.Limits.MaxStreams != -1 || info.Limits.MaxConsumers != -1 {
		t.Errorf("limits: %+v", info.Limits)
	}
}

func TestWarningsAreHandedOn(t *testing.T) {
	var mu sync.Mutex
	var told []string
	n := testkit.StartNode(t, t.TempDir(), func(c *node.Config) {
		c.OnWarning = func(text string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, text)
		}
	})
	before := n.Warnings()
	person(t, n, "ana").refusedPublish("ledger.front-gate.revoked")
	testkit.Eventually(t, soon, func() error {
		mu.Lock()
		defer mu.Unlock()
		for _, text := range told {
			if strings.Contains(text, "Publish Violation") && n.Warnings() > before {
				return nil
			}
		}
		return fmt.Errorf("told %q", told)
	})
}

// The connections that append and answer come back by themselves.
func TestOwnConnectionsComeBack(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	ledger, _ := stream(t, n, 1)
	answers, err := n.Answers()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answers.Subscribe("cmd.>", func(m *nats.Msg) { m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ledger.ForceReconnect(), answers.ForceReconnect()); err != nil {
		t.Fatal(err)
	}
	ana := person(t, n, "ana")
	testkit.Eventually(t, soon, func() error {
		_, err1 := ledger.Request("ledger.front-gate.configured", nil, time.Second)
		_, err2 := ana.Request("cmd.front-gate.show.p-ana", nil, time.Second)
		return errors.Join(err1, err2)
	})
}

func TestOneUserMayTakeSoMuch(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	k := newKeypad(t, n, "front-gate")
	loud := dial(t, n.URL(), k.opts...)
	// Once the client has heard of its limit it refuses by itself.
	switch err := loud.Publish("cmd.front-gate.attempt.i-front-gate", make([]byte, 65<<10)); {
	case err == nil:
		loud.awaitLost(soon)
	case !errors.Is(err, nats.ErrMaxPayload):
		t.Fatal(err)
	}
	greedy := dial(t, n.URL(), k.opts...)
	for range 17 {
		if _, err := greedy.SubscribeSync("live.front-gate.>"); err != nil {
			t.Fatal(err)
		}
	}
	greedy.awaitRefusal("maximum subscriptions exceeded")
}

// deafConn is a line that was cut without a word: what is written goes nowhere.
type deafConn struct {
	net.Conn
	cut *atomic.Bool
}

func (c deafConn) Write(p []byte) (int, error) {
	if c.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

type deafDialer struct{ cut *atomic.Bool }

func (d deafDialer) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return deafConn{c, d.cut}, err
}

func TestDeadClientsGo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	n := testkit.StartNode(t, t.TempDir())
	data, err := n.Issuer().Person("ana")
	if err != nil {
		t.Fatal(err)
	}
	var cut atomic.Bool
	c := dial(t, n.URL(), creds(data), nats.SetCustomDialer(deafDialer{&cut}))
	cut.Store(true)
	c.awaitLost(11 * time.Second)
}

func TestURLIsReachable(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir(), func(c *node.Config) { c.Listen = "0.0.0.0:0" })
	if !strings.HasPrefix(n.URL(), "nats://127.0.0.1:") || !n.Embedded() {
		t.Errorf("%s, embedded %v", n.URL(), n.Embedded())
	}
	person(t, n, "ana")
}

func TestAddress(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	f, err := node.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.ReadAddress(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("address before there is one: %v", err)
	}
	want := node.Address{NATS: "nats://127.0.0.1:1", HTTP: "http://127.0.0.1:2", PID: 4711}
	if err := f.WriteAddress(want); err != nil {
		t.Fatal(err)
	}
	if got, err := node.ReadAddress(dir); err != nil || got != want {
		t.Errorf("read %+v, %v", got, err)
	}
	if _, err := node.OpenFolder(dir); !errors.Is(err, node.ErrInUse) || !strings.Contains(err.Error(), "4711") {
		t.Errorf("in use: %v", err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := node.ReadAddress(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("address after close: %v", err)
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "owner.token")
	if err := node.CreateSecret(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := node.CreateSecret(path, []byte("two")); !errors.Is(err, node.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "one" {
		t.Errorf("overwritten with %q", data)
	}
	if err := node.WriteSecret(path, []byte("three")); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); string(data) != "three" {
		t.Errorf("not written: %q", data)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
