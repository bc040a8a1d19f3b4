package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"gatebook/events/seal"
)

// wrappedOf reads what the stream holds for each code.
func wrappedOf(t testing.TB, n *node, ids []string) map[string][]byte {
	t.Helper()
	stream, err := n.js.Stream(within(t), seal.KeysStream)
	ok(t, err)
	out := make(map[string][]byte)
	for _, id := range ids {
		msg, err := stream.GetLastMsgForSubject(within(t), "keys."+id)
		ok(t, err)
		out[id] = msg.Data
	}
	return out
}

// onDisk searches every file under dir for the cipher text of each wrapped key,
// as it is and in the spellings that something may have written it in.
func onDisk(t testing.TB, dir string, wrapped map[string][]byte) (found map[string]string) {
	t.Helper()
	found = make(map[string]string)
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		for id, w := range wrapped {
			for _, spelled := range spellings(w) {
				if bytes.Contains(content, spelled) {
					found[id] = filepath.Base(path)
				}
			}
		}
		return err
	}))
	return found
}

// spellings leaves out what base64 would join with bytes that stand beside.
func spellings(w []byte) [][]byte {
	std := base64.StdEncoding.EncodeToString(w)
	url := base64.URLEncoding.EncodeToString(w)
	return [][]byte{w[13:], []byte(std[:len(std)-4]), []byte(url[:len(url)-4]), []byte(hex.EncodeToString(w[13:]))}
}

func wantOnDisk(t testing.TB, dir string, wrapped map[string][]byte, n int) {
	t.Helper()
	if found := onDisk(t, dir, wrapped); len(found) != n {
		t.Fatalf("%d of %d keys are on the disk, want %d: %v", len(found), len(wrapped), n, found)
	}
}

// Destroying overwrites at once, in a block that is being written and in one
// that is full, and a restart brings nothing back (law 9).
func TestDestroyedKeysAreNotOnDisk(t *testing.T) {
	for name, filled := range map[string]bool{"newest block": false, "full block": true} {
		t.Run(name, func(t *testing.T) {
			dir, m := t.TempDir(), newMaster(t)
			n := startNode(t, dir)
			keys := openKeys(t, n, m)
			want, ids := putMany(t, keys, 200)
			if filled {
				fillBlock(t, n)
			}
			wrapped := wrappedOf(t, n, ids[:20])
			wantOnDisk(t, dir, wrapped, 20)
			for _, id := range ids[:20] {
				ok(t, keys.Destroy(within(t), id))
				wantOnDisk(t, dir, map[string][]byte{id: wrapped[id]}, 0)
				delete(want, id)
			}
			wantOnDisk(t, dir, wrapped, 0)
			wantOnDisk(t, dir, wrappedOf(t, n, ids[20:]), 180)
			n.stop()
			wantOnDisk(t, dir, wrapped, 0)

			n = startNode(t, dir)
			keys = openKeys(t, n, m)
			more, moreIDs := putMany(t, keys, 5)
			for id, k := range more {
				want[id] = k
			}
			// The cache of a restarted server is cold: destroy from it once more.
			last := wrappedOf(t, n, []string{ids[100], moreIDs[4]})
			for id := range last {
				ok(t, keys.Destroy(within(t), id))
				delete(want, id)
			}
			wantOnDisk(t, dir, last, 0)
			wantOnDisk(t, dir, wrapped, 0)
			removeFillers(t, n)
			wantAll(t, keys, want)
			n.stop()
			forgetIndex(t, dir) // the server must read the blocks themselves
			wantAll(t, openKeys(t, startNode(t, dir), m), want)
		})
	}
}

const fillers = 5

// fillBlock makes the server begin another block, of 4 MB each.
func fillBlock(t testing.TB, n *node) {
	t.Helper()
	for i := range fillers {
		_, err := n.js.Publish(within(t), fillerSubject(i), make([]byte, 900<<10))
		ok(t, err)
	}
	blocks, err := filepath.Glob(filepath.Join(n.srv.StoreDir(), "*", "streams", "KEYS", "msgs", "*.blk"))
	ok(t, err)
	if len(blocks) < 2 {
		t.Fatalf("%d MB are in one block", fillers)
	}
}

func fillerSubject(i int) string { return "keys.filler" + string(rune('0'+i)) }

func removeFillers(t testing.TB, n *node) {
	t.Helper()
	stream, err := n.js.Stream(within(t), seal.KeysStream)
	ok(t, err)
	for i := range fillers {
		if msg, err := stream.GetLastMsgForSubject(within(t), fillerSubject(i)); err == nil {
			ok(t, stream.DeleteMsg(within(t), msg.Sequence))
		}
	}
}

func forgetIndex(t testing.TB, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "KEYS", "msgs", "index.db"))
	ok(t, err)
	for _, f := range files {
		ok(t, os.Remove(f))
	}
}
