package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/events/seal"
	"gatebook/ops/testkit"
)

// wrappedSize is version, nonce, a key and the tag of its cipher.
const wrappedSize = 1 + 12 + 32 + 16

// attacker is somebody with the whole data folder, master key included, who
// knows the program and wants the digits of one code.
type attacker struct {
	hays   []hay
	master *seal.Master
	code   string
	box    []byte   // the code's sealed box, as its event has it
	public []string // every key that was ever enrolled
	marks  map[string]map[[8]byte]string
}

// newAttacker reads what the events say from the folder of a stopped server.
func newAttacker(t *testing.T, dir, code string) *attacker {
	t.Helper()
	a := &attacker{code: code, hays: folder(t, "data", dir)}
	var err error
	if a.master, err = seal.LoadMaster(filepath.Join(dir, "master.key"), false); err != nil {
		t.Fatal(err)
	}
	// On a copy, so that looking changes nothing.
	log, _ := open(t, copied(t, dir))
	defer log.Close()
	upto, err := log.LastSequence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = log.Read(t.Context(), ledger.Range{From: 1, Upto: upto}, func(e events.Stored) error {
		switch e.Type {
		case events.Enrolled:
			var d events.EnrolledData
			if err := e.Unpack(&d); err != nil {
				return err
			}
			a.public = append(a.public, d.PublicKey)
		case events.Issued:
			var d events.IssuedData
			if err := e.Unpack(&d); err != nil {
				return err
			}
			if d.CodeID == code {
				a.box = d.Sealed
			}
		}
		return nil
	})
	if err != nil || a.box == nil || len(a.public) == 0 {
		t.Fatalf("the attacker cannot read the events: %v", err)
	}
	a.makeMarks()
	return a
}

// makeMarks prepares the 10,000 digits in every form of a match list, by the
// first eight bytes of each.
func (a *attacker) makeMarks() {
	a.marks = map[string]map[[8]byte]string{}
	for _, form := range []string{"raw", "base64url", "base64", "hex", "HEX"} {
		a.marks[form] = map[[8]byte]string{}
	}
	for _, public := range a.public {
		key := a.master.MatchKey(gate, public)
		for n := range 10000 {
			digits := fmt.Sprintf("%04d", n)
			match := seal.Match(key, digits)
			raw, err := base64.RawURLEncoding.DecodeString(match)
			if err != nil {
				panic(err) // seal.Match encodes so
			}
			for form, text := range map[string]string{
				"raw": string(raw), "base64url": match, "base64": base64.StdEncoding.EncodeToString(raw),
				"hex": hex.EncodeToString(raw), "HEX": strings.ToUpper(hex.EncodeToString(raw)),
			} {
				a.marks[form][[8]byte([]byte(text))] = digits
			}
		}
	}
}

// digits are all that some try makes the code's digits out to be, and how.
func (a *attacker) digits() map[string][]string {
	var mu sync.Mutex
	got := map[string][]string{}
	note := func(digits, how string) {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(got[digits], how) {
			got[digits] = append(got[digits], how)
		}
	}
	places := make(chan hay)
	var work sync.WaitGroup
	for range runtime.NumCPU() {
		work.Go(func() {
			for h := range places {
				a.unseal(h, note)
				a.matched(h, note)
				a.written(h, note)
			}
		})
	}
	for _, h := range a.hays {
		for _, form := range alternatives(h) {
			places <- form
		}
	}
	close(places)
	work.Wait()
	return got
}

// encoded is text that may stand for bytes.
var encoded = regexp.MustCompile(`[A-Za-z0-9+/_=-]{40,}`)

// alternatives are a file as it is, and what its texts stand for.
func alternatives(h hay) []hay {
	all := []hay{h}
	for _, text := range encoded.FindAll(h.data, -1) {
		text = bytes.TrimRight(text, "=")
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if raw, err := e.DecodeString(string(text)); err == nil {
				all = append(all, hay{h.name + " in base64", raw})
			}
		}
		if raw, err := hex.DecodeString(string(text)); err == nil {
			all = append(all, hay{h.name + " in hex", raw})
		}
	}
	return all
}

// unseal tries every 32 bytes as the code's key, and every window of the right
// size as that key under the master key.
func (a *attacker) unseal(h hay, note func(digits, how string)) {
	try := func(k seal.Key, how string) {
		if g, err := seal.Open(k, gate, a.code, a.box); err == nil {
			note(g.Digits, how+" in "+h.name)
		}
	}
	for i := range h.data {
		if i+1 >= len(seal.Key{}) {
			try(seal.Key(h.data[i+1-len(seal.Key{}):i+1]), "the key")
		}
		if from := i + 1 - wrappedSize; from >= 0 && h.data[from] == 1 {
			if k, err := a.master.Unwrap(a.code, h.data[from:i+1]); err == nil {
				try(k, "the wrapped key")
			}
		}
	}
}

// matched looks for any of the 10,000 digits as a match list has them.
func (a *attacker) matched(h hay, note func(digits, how string)) {
	for i := 0; i+8 <= len(h.data); i++ {
		for form, marks := range a.marks {
			if digits, ok := marks[[8]byte(h.data[i:])]; ok {
				note(digits, "a match, "+form+", in "+h.name)
			}
		}
	}
}

// near is how far from a code's id digits may be written that are its own.
const near = 300

var quoted = regexp.MustCompile(`(^|[^A-Za-z0-9+/_.-])([0-9]{4})([^A-Za-z0-9+/_.-]|$)`)

// written looks for four digits that stand by themselves near the code's id.
func (a *attacker) written(h hay, note func(digits, how string)) {
	for from := 0; ; {
		i := bytes.Index(h.data[from:], []byte(a.code))
		if i < 0 {
			return
		}
		i += from
		around := noise.ReplaceAll(h.data[max(0, i-near):min(len(h.data), i+near)], []byte("-"))
		for _, m := range quoted.FindAllSubmatch(around, -1) {
			note(string(m[2]), "written beside the code's id in "+h.name)
		}
		from = i + 1
	}
}

// open opens the ledger and the keys of a stopped server's folder.
func open(t *testing.T, dir string) (*ledger.Log, *seal.Keys) {
	t.Helper()
	n := testkit.StartNode(t, dir)
	nc, err := n.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	log, err := ledger.Open(ctx, nc, ledger.Config{Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	master, err := seal.LoadMaster(filepath.Join(dir, "master.key"), false)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.OpenKeys(ctx, log.JetStream(), master, 1)
	if err != nil {
		t.Fatal(err)
	}
	return log, keys
}

func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(bytes.Trim(raw, "\x00")) == 0 { // room that is kept free
			raw = nil
		}
		return os.WriteFile(filepath.Join(to, rel), raw, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// only reports whether the attacker knows exactly those digits.
func only(got map[string][]string, digits string) bool {
	_, ok := got[digits]
	return ok && len(got) == 1
}

// TestDestroyedKeysDigitsAreGone: the attacker finds the digits before the key
// is destroyed, and nothing after; the ledger stays whole.
func TestDestroyedKeysDigitsAreGone(t *testing.T) {
	s := newStory(t)
	k := s.keypad()
	s.visit(k)
	k.Terminate()
	s.server.Terminate()
	victim, bystander := s.guests[2], s.guests[3] // revoked, and alive

	before := newAttacker(t, s.dir, victim.id)
	got := before.digits()
	if !only(got, victim.digits) {
		t.Fatalf("before: the attacker makes the digits out to be %v, want %s", got, victim.digits)
	}
	t.Logf("before: %s by %v", victim.digits, got[victim.digits])
	theyDidNotKnow(t, before, victim.digits)

	t.Run("destroy", func(t *testing.T) {
		log, keys := open(t, s.dir)
		defer log.Close()
		if err := keys.Destroy(t.Context(), victim.id); err != nil {
			t.Fatal(err)
		}
	})
	if got := newAttacker(t, s.dir, victim.id).digits(); len(got) != 0 {
		t.Errorf("after: the attacker still knows %v", got)
	}
	if got := newAttacker(t, s.dir, bystander.id).digits(); !only(got, bystander.digits) {
		t.Errorf("after: of another code the attacker knows %v, want %s", got, bystander.digits)
	}
	s.server = testkit.StartServer(t, s.program, s.dir)
	var a commands.ShowAnswer
	s.server.Do(&a, "show", gate, victim.id)
	if a.Recipient != nil || a.Code != nil {
		t.Errorf("the forgotten code is shown as %+v", a)
	}
	var v commands.VerifyAnswer
	s.server.Do(&v, "verify")
	if !v.OK {
		t.Errorf("verify after the destruction: %+v", v)
	}
	s.server.Kill()
	if got := newAttacker(t, s.dir, victim.id).digits(); len(got) != 0 {
		t.Errorf("after another start and a kill: the attacker knows %v", got)
	}
}

// theyDidNotKnow plants the digits in the other ways that the attacker looks
// for, one at a time, in place of all else: each must be found by itself.
func theyDidNotKnow(t *testing.T, a *attacker, digits string) {
	t.Helper()
	var key seal.Key
	for _, h := range a.hays {
		for i := 0; i+wrappedSize <= len(h.data); i++ {
			if k, err := a.master.Unwrap(a.code, h.data[i:i+wrappedSize]); h.data[i] == 1 && err == nil {
				key = k
			}
		}
	}
	match := seal.Match(a.master.MatchKey(gate, a.public[0]), digits)
	raw, err := base64.RawURLEncoding.DecodeString(match)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]string{a.code: match})
	if err != nil {
		t.Fatal(err)
	}
	for what, planted := range map[string][]byte{
		"a key": append([]byte("..."), key[:]...), "a key in base64": []byte(base64.StdEncoding.EncodeToString(key[:])),
		"a key in hex": []byte(hex.EncodeToString(key[:])), "a match list": list, "a raw match": append([]byte{1, 2, 3}, raw...),
		"a match in hex": []byte("x" + hex.EncodeToString(raw)), "digits": fmt.Appendf(nil, `{"code_id":%q,"at":"2026-01-01T00:00:00Z","digits":%q}`, a.code, digits),
	} {
		one := *a
		one.hays = []hay{{what, planted}}
		if got := one.digits(); !only(got, digits) {
			t.Errorf("of %s the attacker makes %v, want %s", what, got, digits)
		}
	}
}
