package secrets

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/ops/node"
	"gatebook/ops/testkit"
)

const (
	gate   = "front-gate"
	within = 20 * time.Second
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// guest is one whom a code was issued for.
type guest struct {
	name, typed, mobile string // the number as typed, and as the ledger keeps it
	id, digits          string
}

// story is a ledger, its intercom, and what they leave behind beside files.
type story struct {
	t       *testing.T
	rnd     *rand.Rand
	server  *testkit.Server
	dir     string
	creds   string
	state   string
	program string
	guests  []guest
	said    []hay // logs and metrics

	mu   sync.Mutex // owns live
	live []byte
}

func newStory(t *testing.T) *story {
	t.Helper()
	program := testkit.Program(t)
	s := &story{t: t, rnd: rand.New(rand.NewPCG(testkit.Seed(t), 0)), dir: t.TempDir(), state: t.TempDir(), program: program}
	s.server = testkit.StartServer(t, program, s.dir, "--log-level", "debug")
	s.server.Do(nil, "settings", gate, "--entry-device", "main-gate", "--limit", "50")
	s.creds = filepath.Join(t.TempDir(), "intercom.creds")
	s.server.Do(nil, "enroll", gate, "--out", s.creds)
	s.record()
	return s
}

// record keeps everything on the intercom's live subjects.
func (s *story) record() {
	s.t.Helper()
	raw, err := os.ReadFile(s.creds)
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := node.PublicKey(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	nc, err := nats.Connect(s.server.NATS, nats.UserCredentials(s.creds), nats.MaxReconnects(-1),
		nats.CustomInboxPrefix(events.IntercomInbox(gate, key)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	_, err = nc.Subscribe(events.Live(gate), func(m *nats.Msg) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live = append(append(s.live, fmt.Sprintf("\n%s %v ", m.Subject, m.Header)...), m.Data...)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := nc.FlushTimeout(within); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) keypad() *testkit.Keypad {
	s.t.Helper()
	return testkit.StartKeypad(s.t, s.program, testkit.KeypadConfig{
		Intercom: gate, Server: s.server.NATS, Creds: s.creds, State: s.state, Flags: []string{"--stay"},
	})
}

func (s *story) issue(flags ...string) guest {
	s.t.Helper()
	n := s.rnd.IntN(1e8)
	g := guest{
		name:   fmt.Sprintf("Zoë O'Brien-%08d & Ünal", n),
		typed:  fmt.Sprintf("+49 (170) %04d-%04d", n/10000, s.rnd.IntN(10000)),
		mobile: "",
	}
	g.mobile = strings.NewReplacer(" ", "", "(", "", ")", "", "-", "").Replace(g.typed)
	var a commands.IssueAnswer
	s.server.Do(&a, append([]string{"issue", gate, "--name", g.name, "--mobile", g.typed}, flags...)...)
	if a.Recipient == nil || a.Recipient.Mobile != g.mobile {
		s.t.Fatalf("the ledger keeps the number as %+v, want %s", a.Recipient, g.mobile)
	}
	g.id, g.digits = a.ID, *a.Code
	s.guests = append(s.guests, g)
	return g
}

// digits of all guests.
func (s *story) digits() (all []string) {
	for _, g := range s.guests {
		all = append(all, g.digits)
	}
	return all
}

// never are digits that nobody was given and that no year looks like.
func (s *story) never(n int) (all []string) {
	issued := s.digits()
	for len(all) < n {
		d := fmt.Sprintf("%04d", s.rnd.IntN(10000))
		if !slices.Contains(issued, d) && !slices.Contains(all, d) && !strings.HasPrefix(d, "20") && !strings.HasPrefix(d, "19") {
			all = append(all, d)
		}
	}
	return all
}

// visit is what guests, their hosts and strangers do.
func (s *story) visit(k *testkit.Keypad) {
	s.t.Helper()
	used, left, revoked, kept := s.issue(), s.issue(), s.issue(), s.issue()
	if got := k.Try("entry " + used.digits).Says(); got != "open done" {
		s.t.Fatalf("entry: %s", got)
	}
	for _, line := range []string{
		"entry " + left.digits, "exit " + left.digits, left.digits, "exit " + used.digits + "x", used.digits + used.digits, kept.name, kept.typed,
	} {
		k.Try(line)
	}
	s.server.Do(nil, "revoke", gate, revoked.id, "--yes", "--wait", "5s")
	k.Try("entry " + revoked.digits)
	for _, command := range [][]string{
		{"show", gate, used.id}, {"show", gate, revoked.id}, {"list", gate}, {"audit"}, {"replay", "--as-of", "3"}, {"verify"}, {"settings", gate},
	} {
		if r := s.server.Run(command...); r.Status != 0 {
			s.t.Errorf("%v: %s", command, r.Err)
		}
	}
	// What is refused is logged by many a program.
	for _, command := range [][]string{
		{"revoke", gate, revoked.id, "--yes"}, {"issue", gate, "--name", kept.name, "--mobile", kept.typed + "x"},
		{"issue", gate, "--name", kept.name, "--mobile", kept.typed, "--validity", "1s"}, {"show", gate, kept.digits}, {"list", kept.digits},
	} {
		if r := s.server.Run(command...); r.Status == 0 {
			s.t.Errorf("%v is not refused", command)
		}
	}
}

// heard keeps what the processes have said and the metrics show.
func (s *story) heard(k *testkit.Keypad) {
	s.t.Helper()
	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/"} {
		r, err := http.Get(s.server.HTTP + path)
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK {
			s.t.Fatalf("get %s: status %d, %v", path, r.StatusCode, err)
		}
		s.said = append(s.said, hay{path, body})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.live) == 0 || len(k.Log()) == 0 || len(s.server.Log()) == 0 {
		s.t.Fatal("there is a silence where a leak would be")
	}
	s.said = append(s.said, hay{"the log of serve", []byte(s.server.Log())}, hay{"the log of intercom", []byte(k.Log())}, hay{"live subjects", slices.Clone(s.live)})
}

// files are the data folder and the intercom's.
func (s *story) files() []hay {
	return append(folder(s.t, "data", s.dir), folder(s.t, "state", s.state)...)
}

func TestNamesNumbersAndDigitsAreNowhere(t *testing.T) {
	s := newStory(t)
	k := s.keypad()
	s.visit(k)
	if testkit.Full() {
		s.expire(k)
	}
	for range testkit.Sized(10, 30) {
		s.issue()
	}
	s.heard(k)
	k.Kill()
	s.server.Kill()
	s.check("after kill -9")
	s.server = s.server.Again("--log-level", "debug")
	k = s.keypad()
	s.visit(k)
	s.heard(k)
	if status := k.Terminate(); status != 0 {
		t.Errorf("the intercom ended with status %d", status)
	}
	if status := s.server.Terminate(); status != 0 {
		t.Errorf("the server ended with status %d", status)
	}
	s.check("after a clean stop")
}

// expire waits until a code's time has passed.
func (s *story) expire(k *testkit.Keypad) {
	s.t.Helper()
	g := s.issue("--validity", "1m")
	testkit.Eventually(s.t, 2*time.Minute, func() error {
		var a commands.ShowAnswer
		s.server.Do(&a, "show", gate, g.id)
		if a.State != "expired" {
			return fmt.Errorf("it is %s", a.State)
		}
		return nil
	})
	k.Try("entry " + g.digits)
}

// check looks everywhere.
func (s *story) check(when string) {
	s.t.Helper()
	hays := append(s.files(), s.said...)
	size := 0
	for _, h := range hays {
		size += len(h.data)
	}
	var where []string
	for _, g := range s.guests {
		where = append(where, found(hays, "the name", g.name)...)
		where = append(where, found(hays, "the number as typed", g.typed)...)
		where = append(where, found(hays, "the number", g.mobile)...)
		where = append(where, found(hays, "the number without its plus", g.mobile[1:])...)
	}
	where = append(where, digitsInText(hays, s.digits())...)
	for _, w := range where {
		s.t.Errorf("%s: %s", when, w)
	}
	issued, never := s.digits(), s.never(20)
	anywhere, alone := tally(hays, issued)
	otherAnywhere, otherAlone := tally(hays, never)
	share := float64(len(issued)) / float64(len(issued)+len(never))
	for what, k := range map[string][2]int{"anywhere": {anywhere, otherAnywhere}, "alone": {alone, otherAlone}} {
		p := tooOften(k[0], k[0]+k[1], share)
		s.t.Logf("%s: in %d files and texts of %d bytes, %d issued digits stand %s in binary files %d times, %d never issued ones %d times (p %.2g)",
			when, len(hays), size, len(issued), what, k[0], len(never), k[1], p)
		if p < 1e-5 {
			s.t.Errorf("%s: issued digits are in binary files far more often than others", when)
		}
	}
}
