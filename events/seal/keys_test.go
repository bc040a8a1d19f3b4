package seal_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/seal"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
)

func TestPutGetDestroy(t *testing.T) {
	keys := openKeys(t, startNode(t, t.TempDir()), newMaster(t))
	ctx, k := within(t), newKey(t)
	wantNone := func() {
		t.Helper()
		if _, err := keys.Get(ctx, codeA); !errors.Is(err, seal.ErrNoKey) {
			t.Fatalf("got error %v", err)
		}
	}
	wantNone()
	ok(t, keys.Destroy(ctx, codeA))
	ok(t, keys.Put(ctx, codeA, k))
	got, err := keys.Get(ctx, codeA)
	ok(t, err)
	if got != k {
		t.Fatal("got another key")
	}
	ok(t, keys.Put(ctx, codeA, k)) // repeated, as after an unknown outcome
	if err := keys.Put(ctx, codeA, newKey(t)); !errors.Is(err, seal.ErrKeyExists) {
		t.Fatalf("second key: got error %v", err)
	}
	if got, err := keys.Get(ctx, codeA); err != nil || got != k {
		t.Fatalf("a second key changed the first: %v", err)
	}
	ok(t, keys.Destroy(ctx, codeA))
	wantNone()
	ok(t, keys.Destroy(ctx, codeA))
}

func TestKeysRefuse(t *testing.T) {
	keys := openKeys(t, startNode(t, t.TempDir()), newMaster(t))
	ctx := within(t)
	if err := keys.Put(ctx, codeA, seal.Key{}); err == nil {
		t.Error("put a key of zeros")
	}
	for _, id := range []string{"", "*", ">", "a.b", codeA + "0", strings.ToLower(codeA)} {
		_, get := keys.Get(ctx, id)
		for _, err := range []error{get, keys.Put(ctx, id, newKey(t)), keys.Destroy(ctx, id)} {
			if !errors.Is(err, events.ErrSubject) {
				t.Errorf("code id %q: got error %v", id, err)
			}
		}
	}
}

func TestOneKeyACodeWhoeverRaces(t *testing.T) {
	keys := openKeys(t, startNode(t, t.TempDir()), newMaster(t))
	race(t, keys)
}

// race lets many put a key of their own for the same code.
func race(t *testing.T, keys *seal.Keys) {
	t.Helper()
	for range 20 {
		id := ulid.Make().String()
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			k := newKey(t)
			wg.Go(func() {
				err := keys.Put(within(t), id, k)
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, seal.ErrKeyExists) {
					t.Errorf("got error %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d different keys were accepted for one code", won.Load())
		}
	}
}

func TestDestroyRaces(t *testing.T) {
	keys := openKeys(t, startNode(t, t.TempDir()), newMaster(t))
	_, ids := putMany(t, keys, 10)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, id := range ids {
				if err := keys.Destroy(within(t), id); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			if _, err := keys.All(within(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantAll(t, keys, nil)
}

func TestAllAfterHolesAndRestart(t *testing.T) {
	dir, m := t.TempDir(), newMaster(t)
	n := startNode(t, dir)
	keys := openKeys(t, n, m)
	wantAll(t, keys, nil)
	want, ids := putMany(t, keys, 300)
	for _, i := range []int{0, 1, 150, 298, 299} { // both ends, where a scan could wait in vain
		ok(t, keys.Destroy(within(t), ids[i]))
		delete(want, ids[i])
	}
	wantAll(t, keys, want)
	n.stop()
	wantAll(t, openKeys(t, startNode(t, dir), m), want)
}

func TestAllTellsOfKeysThatDoNotOpen(t *testing.T) {
	n := startNode(t, t.TempDir())
	keys := openKeys(t, n, newMaster(t))
	want, _ := putMany(t, keys, 3)
	_, err := n.js.Publish(within(t), "keys."+codeA, []byte("no wrapped key"))
	ok(t, err)
	got, err := keys.All(within(t))
	if !errors.Is(err, seal.ErrSealed) || !strings.Contains(err.Error(), codeA) || len(got) != len(want) {
		t.Fatalf("got %d keys, error %v", len(got), err)
	}
	if _, err := keys.Get(within(t), codeA); !errors.Is(err, seal.ErrSealed) {
		t.Fatalf("got error %v", err)
	}
}

func TestSweep(t *testing.T) {
	keys := openKeys(t, startNode(t, t.TempDir()), newMaster(t))
	want, ids := putMany(t, keys, 10)
	lost := map[string]bool{ids[2]: true, ids[7]: true}
	keep := func(codeID string) bool { return !lost[codeID] }
	n, err := keys.Sweep(within(t), keep, time.Now().Add(-time.Hour))
	ok(t, err)
	if n != 0 {
		t.Fatalf("swept %d keys that are too new", n)
	}
	wantAll(t, keys, want)
	n, err = keys.Sweep(within(t), keep, time.Now().Add(time.Hour))
	ok(t, err)
	if n != len(lost) {
		t.Fatalf("swept %d keys", n)
	}
	for id := range lost {
		delete(want, id)
	}
	wantAll(t, keys, want)
}

func TestOpenKeysRefusesAnotherMaster(t *testing.T) {
	n, m := startNode(t, t.TempDir()), newMaster(t)
	openKeys(t, n, newMaster(t)) // nothing is stored yet: any will do
	putMany(t, openKeys(t, n, m), 3)
	openKeys(t, n, m)
	if _, err := seal.OpenKeys(within(t), n.js, newMaster(t), 1); !errors.Is(err, seal.ErrMaster) {
		t.Fatalf("got error %v", err)
	}
}

func TestOpenKeysNamesEveryDifference(t *testing.T) {
	good := goodConfig(t)
	for field, change := range map[string]func(*jetstream.StreamConfig){
		"MaxAge":               func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"MaxMsgs":              func(c *jetstream.StreamConfig) { c.MaxMsgs = 100 },
		"MaxBytes":             func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"MaxMsgSize":           func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 },
		"AllowDirect":          func(c *jetstream.StreamConfig) { c.AllowDirect = true },
		"DenyDelete":           func(c *jetstream.StreamConfig) { c.DenyDelete = true },
		"DenyPurge":            func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"AllowMsgTTL":          func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"Compression":          func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression },
		"Subjects":             func(c *jetstream.StreamConfig) { c.Subjects = []string{"keys.>"} },
		"Storage":              func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"DiscardNewPerSubject": func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = false },
		"RePublish":            func(c *jetstream.StreamConfig) { c.RePublish = &jetstream.RePublish{Destination: "leak.>"} },
	} {
		t.Run(field, func(t *testing.T) {
			n := startNode(t, t.TempDir())
			config := good
			change(&config)
			_, err := n.js.CreateStream(within(t), config)
			ok(t, err)
			_, err = seal.OpenKeys(within(t), n.js, newMaster(t), 1)
			if !errors.Is(err, seal.ErrKeysConfig) || !strings.Contains(err.Error(), field+" is ") {
				t.Fatalf("got error %v", err)
			}
		})
	}
}

func goodConfig(t *testing.T) jetstream.StreamConfig {
	t.Helper()
	n := startNode(t, t.TempDir())
	openKeys(t, n, newMaster(t))
	stream, err := n.js.Stream(within(t), seal.KeysStream)
	ok(t, err)
	return stream.CachedInfo().Config
}

// The fence is not the only guard: the stream itself takes no second message, and
// replacing one would remove the first without overwriting it.
func TestStreamTakesNoSecondKey(t *testing.T) {
	n := startNode(t, t.TempDir())
	keys := openKeys(t, n, newMaster(t))
	k := newKey(t)
	ok(t, keys.Put(within(t), codeA, k))
	if _, err := n.js.Publish(within(t), "keys."+codeA, []byte("another")); err == nil {
		t.Fatal("an unfenced message was accepted")
	}
	if got, err := keys.Get(within(t), codeA); err != nil || got != k {
		t.Fatalf("the key was changed: %v", err)
	}
}

func TestKeysGiveUp(t *testing.T) {
	keys := openKeys(t, startNode(t, t.TempDir()), newMaster(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, get := keys.Get(ctx, codeA)
	_, all := keys.All(ctx)
	for _, err := range []error{get, all, keys.Put(ctx, codeA, newKey(t)), keys.Destroy(ctx, codeA)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v", err)
		}
	}
}
