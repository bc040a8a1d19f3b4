package node_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatebook/ops/node"
	"gatebook/ops/testkit"
)

// cutOff is how soon after Revoke a former user must be gone.
const cutOff = time.Second

func TestRevokedIsCutOffForEver(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	former, current := newKeypad(t, n, "front-gate"), newKeypad(t, n, "front-gate")
	staying, leaving := dial(t, n.URL(), current.opts...), dial(t, n.URL(), former.opts...)
	ana, err := n.Issuer().Person("ana")
	if err != nil {
		t.Fatal(err)
	}
	anasKey, err := node.PublicKey(ana)
	if err != nil {
		t.Fatal(err)
	}
	app := dial(t, n.URL(), creds(ana))

	if err := n.Revoke(former.public, anasKey); err != nil {
		t.Fatal(err)
	}
	leaving.awaitLost(cutOff)
	app.awaitLost(cutOff)
	if err := staying.Flush(); err != nil {
		t.Fatalf("the current key is cut off too: %v", err)
	}
	refuses := func(n *node.Node) {
		t.Helper()
		if _, err := tryDial(t, n.URL(), former.opts...); err == nil {
			t.Error("the former intercom came back")
		}
		if _, err := tryDial(t, n.URL(), creds(ana)); err == nil {
			t.Error("the former person came back")
		}
		dial(t, n.URL(), current.opts...)
	}
	refuses(n)

	// Credentials that are issued later for the same key are refused as well.
	again := newKeypadFor(t, n, "front-gate", former)
	if _, err := tryDial(t, n.URL(), again.opts...); err == nil {
		t.Error("the former key came back with new credentials")
	}

	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = testkit.StartNode(t, dir)
	refuses(n) // already before the ledger names its former keys
	if err := n.Revoke(former.public, anasKey); err != nil {
		t.Fatal(err)
	}
	refuses(n)
}

// Without the file the ledger's events are enough.
func TestRefillAfterTheFileIsLost(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"damaged": func(path string) error { return os.WriteFile(path, []byte("["), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := testkit.StartNode(t, dir)
			former := newKeypad(t, n, "front-gate")
			if err := n.Revoke(former.public); err != nil {
				t.Fatal(err)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "revoked.json")); err != nil {
				t.Fatal(err)
			}
			n = testkit.StartNode(t, dir)
			c := dial(t, n.URL(), former.opts...)
			if err := n.Revoke(former.public); err != nil {
				t.Fatal(err)
			}
			c.awaitLost(cutOff)
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			n = testkit.StartNode(t, dir)
			if _, err := tryDial(t, n.URL(), former.opts...); err == nil {
				t.Error("the former intercom came back")
			}
		})
	}
}

func TestRevokeTwiceChangesNothing(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	former := newKeypad(t, n, "front-gate")
	path := filepath.Join(dir, "revoked.json")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("former keys before there are any: %v", err)
	}
	if err := errors.Join(n.Revoke(), n.Revoke(former.public)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Revoke(former.public, former.public); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("written again for nothing")
	}
}

func TestRevokeTakesUserKeysOnly(t *testing.T) {
	n := testkit.StartNode(t, t.TempDir())
	staying := person(t, n, "ana")
	for _, key := range []string{"*", "", "nobody"} {
		if err := n.Revoke(key); !errors.Is(err, node.ErrName) {
			t.Errorf("revoke %q: %v", key, err)
		}
	}
	if err := staying.Flush(); err != nil {
		t.Errorf("cut off: %v", err)
	}
}

// What cannot be kept for the next start is cut off now all the same, and kept
// as soon as it can be.
func TestRevokeWithoutDisk(t *testing.T) {
	dir := t.TempDir()
	n := testkit.StartNode(t, dir)
	former := newKeypad(t, n, "front-gate")
	c := dial(t, n.URL(), former.opts...)
	path := filepath.Join(dir, "revoked.json")
	if err := os.Mkdir(path, 0o700); err != nil { // no file can be put there
		t.Fatal(err)
	}
	if err := n.Revoke(former.public); err == nil {
		t.Error("revoke did not say that it kept nothing")
	}
	c.awaitLost(cutOff)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := n.Revoke(former.public); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(data, []byte(former.public)) {
		t.Errorf("not kept: %s %v", data, err)
	}
}
