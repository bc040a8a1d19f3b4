package luck_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// story makes a ledger with some history and stops it cleanly.
func story(t *testing.T, dir string) {
	t.Helper()
	s := testkit.StartServer(t, testkit.Program(t), dir)
	s.Do(nil, "settings", "front-gate", "--entry-device", "main-gate")
	for range 3 {
		s.Do(nil, "issue", "front-gate", "--name", "Ada Byron", "--mobile", "+442079460000")
	}
	var issued commands.IssueAnswer
	s.Do(&issued, "issue", "front-gate", "--name", "Bob Moran", "--mobile", "+442079460001")
	s.Do(nil, "revoke", "front-gate", issued.ID)
	if status := s.Terminate(); status != 0 {
		t.Fatalf("exit status %d", status)
	}
}

// behind opens the folder of a stopped server without the ledger's knowledge.
func behind(t *testing.T, dir string, do func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := testkit.StartNode(t, dir)
	nc, err := n.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	do(ctx, nc, js)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// refused starts the server and demands that it refuses to serve, saying words.
func refused(t *testing.T, dir string, words ...string) {
	t.Helper()
	s, err := testkit.TryServer(t, testkit.Program(t), dir)
	if err == nil {
		s.Kill()
		t.Fatal("it serves")
	}
	said(t, s.Log(), words...)
}

func said(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("it does not say %q, but:\n%s", w, text)
		}
	}
}

func TestAFolderInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := testkit.StartServer(t, testkit.Program(t), dir)
	refused(t, dir, "in use")
	s.Do(nil, "settings", "front-gate", "--entry-device", "main-gate")
}

func TestALoosenedStreamIsRefused(t *testing.T) {
	for name, loosen := range map[string]func(*jetstream.StreamConfig){
		"limits":    func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 },
		"age":       func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour * 24 * 365 },
		"republish": func(c *jetstream.StreamConfig) { c.RePublish = nil },
		"ttl":       func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			story(t, dir)
			behind(t, dir, func(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
				stream, err := js.Stream(ctx, events.Ledger)
				if err != nil {
					t.Fatal(err)
				}
				c := stream.CachedInfo().Config
				loosen(&c)
				if _, err := js.UpdateStream(ctx, c); err != nil {
					t.Fatal(err)
				}
			})
			refused(t, dir, "not configured as a ledger must be")
		})
	}
}

func TestATailThatWasCutIsNamed(t *testing.T) {
	dir := t.TempDir()
	story(t, dir)
	// The last events vanish as after a rotten block: the store is made again
	// with all but the last two.
	behind(t, dir, func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) { cutTail(ctx, t, nc, js, 2) })
	refused(t, dir, "law 6", "events 5 to 6 are missing", "gatebook verify")
}

func cutTail(ctx context.Context, t *testing.T, nc *nats.Conn, js jetstream.JetStream, n int) {
	t.Helper()
	stream, err := js.Stream(ctx, events.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	info := stream.CachedInfo()
	var kept []*jetstream.RawStreamMsg
	for seq := uint64(1); seq <= info.State.LastSeq-uint64(n); seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, m)
	}
	if err := js.DeleteStream(ctx, events.Ledger); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, info.Config); err != nil {
		t.Fatal(err)
	}
	for _, m := range kept {
		if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Data: m.Data}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEventOfAnUnknownTypeOrVersionStopsDecidingForItsIntercom(t *testing.T) {
	for name, change := range map[string]func(*events.Event){
		"type":    func(e *events.Event) { e.Type = "painted" },
		"version": func(e *events.Event) { e.V = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			story(t, dir)
			behind(t, dir, func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) { appendOdd(ctx, t, js, change) })
			s := testkit.StartServer(t, testkit.Program(t), dir)
			r := s.Run("issue", "front-gate", "--name", "Eve", "--mobile", "+442079460002")
			if r.Status != 1 || r.Refusal() != "unavailable" {
				t.Errorf("issue: %d %s", r.Status, r.Err)
			}
			var list commands.ListAnswer
			if s.Do(&list, "list", "front-gate"); len(list.Codes) != 3 || list.Revision != 7 {
				t.Errorf("list: %+v", list)
			}
			s.Do(nil, "settings", "back-gate", "--entry-device", "main-gate") // others are not touched
		})
	}
}

func appendOdd(ctx context.Context, t *testing.T, js jetstream.JetStream, change func(*events.Event)) {
	t.Helper()
	stream, err := js.Stream(ctx, events.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(ctx, stream.CachedInfo().State.LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	last, err := events.Decode(m.Data, m.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	e := last.Event
	e.ID, e.Command, e.Data = "01J00000000000000000000000", "01J00000000000000000000001", json.RawMessage(`{}`)
	change(&e)
	raw, err := e.Chained(last.Intercom, last.Link(), last.At).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, events.Subject(e.Intercom, e.Type), raw); err != nil {
		t.Fatal(err)
	}
}

func TestAViewWithOneWrongByteIsRebuilt(t *testing.T) {
	dir := t.TempDir()
	story(t, dir)
	const kept = "$KV.VIEWS.intercom.front-gate"
	var before []byte
	behind(t, dir, func(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
		before = view(ctx, t, js)
		wrong := strings.Replace(string(before), `"limit":10`, `"limit":90`, 1)
		if wrong == string(before) {
			t.Fatal("the view does not have what was to be changed")
		}
		if _, err := js.Publish(ctx, kept, []byte(wrong)); err != nil {
			t.Fatal(err)
		}
	})
	s := testkit.StartServer(t, testkit.Program(t), dir)
	var list commands.ListAnswer
	if s.Do(&list, "list", "front-gate"); list.Limit != 10 || len(list.Codes) != 3 {
		t.Errorf("list: %+v", list)
	}
	said(t, s.Log(), "kept view cannot be believed and is rebuilt")
	if status := s.Terminate(); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	behind(t, dir, func(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
		if after := view(ctx, t, js); string(after) != string(before) {
			t.Errorf("the view is not as it was\nbefore %s\nafter  %s", before, after)
		}
	})
}

func view(ctx context.Context, t *testing.T, js jetstream.JetStream) []byte {
	t.Helper()
	kv, err := js.KeyValue(ctx, "VIEWS")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(ctx, "intercom.front-gate")
	if err != nil {
		t.Fatal(err)
	}
	return entry.Value()
}

func TestAFullDisk(t *testing.T) {
	v := testkit.NewVolume(t, 64)
	s := testkit.StartServer(t, testkit.Program(t), filepath.Join(v.Dir, "data"))
	s.Do(nil, "settings", "front-gate", "--entry-device", "main-gate")
	var kept []string
	for range 5 {
		var issued commands.IssueAnswer
		s.Do(&issued, "issue", "front-gate", "--name", "Ada Byron", "--mobile", "+442079460000")
		kept = append(kept, issued.ID)
	}
	empty := v.Fill()
	r := s.Run("issue", "front-gate", "--name", "Bob Moran", "--mobile", "+442079460001")
	if r.Status != 1 || r.Refusal() != "unavailable" {
		t.Errorf("issue on a full disk: %d %s", r.Status, r.Err)
	}
	said(t, string(r.Err), "make room")
	for _, id := range kept[:4] { // from the reserve
		s.Do(nil, "revoke", "front-gate", id)
	}
	empty()
	testkit.Eventually(t, 10*time.Second, func() error {
		if r := s.Run("issue", "front-gate", "--name", "Bob Moran", "--mobile", "+442079460001"); r.Status != 0 {
			return &commands.Refusal{Code: commands.Unavailable, Message: string(r.Err)}
		}
		return nil
	})
	if s.Kill(); true {
		s = s.Again()
	}
	var list commands.ListAnswer
	if s.Do(&list, "list", "front-gate"); len(list.Codes) != 2 || list.Codes[0].ID != kept[4] {
		t.Errorf("after: %+v", list)
	}
	s.Do(nil, "verify")
}
