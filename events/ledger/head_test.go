package ledger_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/testkit"
)

func newHead(t *testing.T) (*ledger.Head, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "head")
	return ledger.NewHead(path, []byte("key")), path
}

func TestHeadIsReadBack(t *testing.T) {
	h, path := newHead(t)
	if m, err := h.Read(); m != (events.Mark{}) || err != nil {
		t.Errorf("no head reads as %+v (%v)", m, err)
	}
	want := events.Mark{Sequence: 7, ID: "id", Hash: "hash"}
	for range 2 {
		if err := h.Write(want); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := h.Read(); m != want || err != nil {
		t.Errorf("read %+v (%v)", m, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("head has mode %v (%v)", info.Mode(), err)
	}
}

func TestTamperedHeadIsRefused(t *testing.T) {
	h, path := newHead(t)
	if err := h.Write(events.Mark{Sequence: 7, ID: "id", Hash: "hash"}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"another sequence": strings.Replace(string(good), "7", "6", 1),
		"another hash":     strings.Replace(string(good), "hash\":\"hash", "hash\":\"other", 1),
		"cut":              string(good[:len(good)/2]),
		"empty":            "",
	} {
		if err := os.WriteFile(path, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := h.Read()
		t.Run(name, func(t *testing.T) { mustName(t, err, ledger.ErrRot) })
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.NewHead(path, []byte("another key")).Read()
	mustName(t, err, ledger.ErrRot, "signature")
}

// The head never names what is not durable, and is at the newest durable event
// at a clean stop.
func TestHeadFollowsOnlyWhatIsDurable(t *testing.T) {
	var d disk
	l := held(t, &d)
	h, _ := newHead(t)
	ctx, stop := context.WithCancel(t.Context())
	kept := make(chan error)
	go func() { kept <- h.Keep(ctx, l.Durable()) }()

	last := grow(t, l, "north", events.Stored{}, 3)
	told := make(chan error)
	go func() { told <- l.Durable().Wait(t.Context(), last.Sequence) }()
	testkit.Eventually(t, 5*time.Second, began(&d, 2))
	if m, err := h.Read(); m.Sequence != 0 || err != nil {
		t.Errorf("head names %d before its sync has ended (%v)", m.Sequence, err)
	}
	close(d.gate)
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, time.Second, func() error {
		if m, err := h.Read(); m != last.Mark() || err != nil {
			return fmt.Errorf("head is at %d (%v)", m.Sequence, err)
		}
		return nil
	})
	last = grow(t, l, "north", last, 1)
	if err := l.Durable().Wait(t.Context(), last.Sequence); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
	if m, err := h.Read(); m != last.Mark() || err != nil {
		t.Errorf("head is at %d after a clean stop, want %d (%v)", m.Sequence, last.Sequence, err)
	}
}

func TestCheckComparesTheStreamWithTheHead(t *testing.T) {
	l := single(t)
	if err := l.Check(t.Context(), events.Mark{}); err != nil {
		t.Errorf("no head and no event: %v", err)
	}
	mark := events.Mark{Sequence: 2, ID: "id", Hash: events.Genesis}
	mustName(t, l.Check(t.Context(), mark), ledger.ErrRot, "1 to 2 are missing")

	second := grow(t, l, "north", events.Stored{}, 2)
	third := grow(t, l, "north", second, 1)
	for name, head := range map[string]events.Mark{"as long": third.Mark(), "longer": second.Mark(), "no head": {}} {
		if err := l.Check(t.Context(), head); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	cut := third.Mark()
	cut.Sequence = 9
	mustName(t, l.Check(t.Context(), cut), ledger.ErrRot, "4 to 9 are missing")
	replaced := second.Mark()
	replaced.Hash = third.Hash
	mustName(t, l.Check(t.Context(), replaced), ledger.ErrRot, "sequence 2")
}
