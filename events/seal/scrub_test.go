package seal_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatebook/events/seal"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/oklog/ulid/v2"
)

// deletedOnly notes the deletion of keys without overwriting them: the state in
// which a kill inside Destroy leaves the store.
func deletedOnly(t testing.TB, n *node, ids []string) {
	t.Helper()
	stream, err := n.js.Stream(within(t), seal.KeysStream)
	ok(t, err)
	for _, id := range ids {
		msg, err := stream.GetLastMsgForSubject(within(t), "keys."+id)
		ok(t, err)
		ok(t, stream.DeleteMsg(within(t), msg.Sequence))
	}
}

func TestScrub(t *testing.T) {
	for name, c := range map[string]struct{ filled, index bool }{
		"newest block":            {false, true},
		"newest block, no index":  {false, false},
		"another block":           {true, true},
		"another block, no index": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, m := t.TempDir(), newMaster(t)
			n := startNode(t, dir)
			keys := openKeys(t, n, m)
			want, ids := putMany(t, keys, 100)
			gone := []string{ids[0], ids[1], ids[50], ids[98], ids[99]}
			wrapped := wrappedOf(t, n, gone)
			if c.filled {
				fillBlock(t, n)
			}
			deletedOnly(t, n, gone[1:])
			ok(t, keys.Destroy(within(t), gone[0]))
			for _, id := range gone {
				delete(want, id)
			}
			n.stop()
			wantOnDisk(t, dir, wrapped, len(gone)-1)
			leaveCopies(t, dir)

			wantScrubbed(t, dir, len(gone)-1)
			wantOnDisk(t, dir, wrapped, 0)
			wantScrubbed(t, dir, 0)
			if !c.index {
				forgetIndex(t, dir)
			}
			n = startNode(t, dir)
			keys = openKeys(t, n, m)
			removeFillers(t, n)
			wantAll(t, keys, want)
			ok(t, keys.Put(within(t), gone[0], newKey(t)))
		})
	}
}

func wantScrubbed(t testing.TB, dir string, want int) {
	t.Helper()
	n, err := seal.Scrub(dir)
	ok(t, err)
	if n != want {
		t.Fatalf("scrubbed %d records, want %d", n, want)
	}
}

// leaveCopies makes what a kill leaves half made: blocks that the server was
// writing anew.
func leaveCopies(t testing.TB, dir string) {
	t.Helper()
	for _, path := range blocksOf(t, dir) {
		content, err := os.ReadFile(path)
		ok(t, err)
		ok(t, os.WriteFile(path+".tmp", content, 0o600))
		ok(t, os.WriteFile(strings.TrimSuffix(path, ".blk")+".new", content, 0o600))
	}
}

func blocksOf(t testing.TB, dir string) []string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "KEYS", "msgs", "*.blk"))
	ok(t, err)
	if len(blocks) == 0 {
		t.Fatal("no blocks")
	}
	return blocks
}

// Scrub must not follow a name to a block's former file without leaving it
// readable: a backup may have linked it.
func TestScrubReachesTheFormerFile(t *testing.T) {
	dir, m := t.TempDir(), newMaster(t)
	n := startNode(t, dir)
	_, ids := putMany(t, openKeys(t, n, m), 5)
	wrapped := wrappedOf(t, n, ids[:1])
	deletedOnly(t, n, ids[:1])
	n.stop()
	linked := filepath.Join(t.TempDir(), "linked")
	ok(t, os.Link(blocksOf(t, dir)[0], linked))
	wantScrubbed(t, dir, 1)
	wantOnDisk(t, filepath.Dir(linked), wrapped, 0)
	former, err := os.ReadFile(linked)
	ok(t, err)
	current, err := os.ReadFile(blocksOf(t, dir)[0])
	ok(t, err)
	if !bytes.Equal(former, current) {
		t.Fatal("the former file is no readable block")
	}
}

func TestScrubWithoutKeys(t *testing.T) {
	dir := t.TempDir()
	wantScrubbed(t, dir, 0)
	wantScrubbed(t, filepath.Join(dir, "missing"), 0)
	startNode(t, dir).stop()
	wantScrubbed(t, dir, 0)
}

// What cannot be read is told, is not touched, and does not keep Scrub from the
// rest.
func TestScrubTellsWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	_, ids := putMany(t, openKeys(t, n, newMaster(t)), 20)
	wrapped := wrappedOf(t, n, ids[:1])
	deletedOnly(t, n, ids[:1])
	n.stop()
	block := blocksOf(t, dir)[0]
	f, err := os.OpenFile(block, os.O_APPEND|os.O_WRONLY, 0)
	ok(t, err)
	_, err = f.WriteString(strings.Repeat("torn", 10))
	ok(t, errors.Join(err, f.Close()))

	if got, err := seal.Scrub(dir); got != 1 || !errors.Is(err, seal.ErrUnread) || !strings.Contains(err.Error(), "1.blk") {
		t.Fatalf("scrubbed %d, error %v", got, err)
	}
	wantOnDisk(t, dir, wrapped, 0)
	content, err := os.ReadFile(block)
	ok(t, err)
	if !bytes.HasSuffix(content, []byte("torntorn")) {
		t.Fatal("the unread bytes were changed")
	}
}

// An encrypted store is not overwritten by the server; here it is found out.
func TestScrubTellsOfEncryption(t *testing.T) {
	dir := t.TempDir()
	n := startServer(t, &server.Options{JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true, NoLog: true, JetStreamKey: "at rest"})
	putMany(t, openKeys(t, n, newMaster(t)), 3)
	n.stop()
	if got, err := seal.Scrub(dir); got != 0 || !errors.Is(err, seal.ErrUnread) {
		t.Fatalf("scrubbed %d, error %v", got, err)
	}
}

const (
	killedDir  = "SEAL_TEST_KILLED_DIR"
	killRounds = 8
	killKeys   = 400
)

// A server killed anywhere inside Destroy leaves, after Scrub, no byte of a key
// that nobody can get any more, and every other key.
func TestKilledInsideDestroy(t *testing.T) {
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	rng := mathrand.New(mathrand.NewPCG(seed, 0))
	left := 0
	for range killRounds {
		dir := t.TempDir()
		m, err := seal.LoadMaster(filepath.Join(dir, "master.key"), true)
		ok(t, err)
		wrapped := killDestroyer(t, dir, rng.IntN(30))
		scrubbed, err := seal.Scrub(dir)
		ok(t, err)
		left += scrubbed
		all, err := openKeys(t, startNode(t, dir), m).All(within(t))
		ok(t, err)
		for id := range all {
			delete(wrapped, id)
		}
		if len(all)+len(wrapped) != killKeys {
			t.Fatalf("%d keys are left, %d are gone", len(all), len(wrapped))
		}
		wantOnDisk(t, dir, wrapped, 0)
	}
	t.Logf("%d of %d kills left a key behind for Scrub", left, killRounds)
}

// killDestroyer runs TestDestroyer in a process of its own. Once it has told of
// so many destroyed keys, it is killed as soon as the server has begun to write a
// block anew, or at once where the server is faster than that can be seen.
func killDestroyer(t *testing.T, dir string, after int) (wrapped map[string][]byte) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDestroyer$")
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	wrapped = make(map[string][]byte)
	lines := bufio.NewScanner(out)
	for after >= 0 && lines.Scan() {
		word, id, _ := strings.Cut(lines.Text(), " ")
		id, raw, _ := strings.Cut(id, " ")
		switch word {
		case "put":
			wrapped[id] = unhex(t, raw)
		case "gone":
			after--
		}
	}
	block := blocksOf(t, dir)[0]
	for range 10_000 {
		if _, err := os.Stat(block + ".tmp"); err == nil {
			break
		}
	}
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	if len(wrapped) != killKeys || after >= 0 {
		t.Fatalf("the destroyer ended early, %d keys put", len(wrapped))
	}
	return wrapped
}

// TestDestroyer is the process that TestKilledInsideDestroy kills.
func TestDestroyer(t *testing.T) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		t.Skip("runs inside TestKilledInsideDestroy")
	}
	ctx := context.Background()
	m, err := seal.LoadMaster(filepath.Join(dir, "master.key"), false)
	ok(t, err)
	n := startNode(t, dir)
	keys := openKeys(t, n, m)
	_, ids := putMany(t, keys, killKeys)
	for id, raw := range wrappedOf(t, n, ids) {
		fmt.Println("put", id, hex.EncodeToString(raw))
	}
	for _, id := range ids {
		ok(t, keys.Destroy(ctx, id))
		fmt.Println("gone", id)
	}
}

// FuzzScrub lays any bytes where a block should be.
func FuzzScrub(f *testing.F) {
	dir := f.TempDir()
	n := startNode(f, dir)
	keys := openKeys(f, n, newMaster(f))
	for range 3 {
		k, err := seal.NewKey(rand.Reader)
		ok(f, err)
		ok(f, keys.Put(within(f), ulid.Make().String(), k))
	}
	n.stop()
	content, err := os.ReadFile(blocksOf(f, dir)[0])
	ok(f, err)
	f.Add(content)
	f.Add(content[:len(content)-1])
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, in []byte) {
		dir := t.TempDir()
		msgs := filepath.Join(dir, "jetstream", "A", "streams", "KEYS", "msgs")
		ok(t, os.MkdirAll(msgs, 0o700))
		ok(t, os.WriteFile(filepath.Join(msgs, "1.blk"), in, 0o600))
		if got, err := seal.Scrub(dir); got != 0 || (err != nil && !errors.Is(err, seal.ErrUnread)) {
			t.Fatalf("scrubbed %d, error %v", got, err)
		}
	})
}
