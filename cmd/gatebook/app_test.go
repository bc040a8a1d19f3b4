package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/intercom"
	"gatebook/ops/node"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
)

// at runs the program as if at a terminal, where somebody types what is typed.
func at(t *testing.T, ctx context.Context, typed string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{
		stdin: strings.NewReader(typed), stdout: &out, stderr: &errs,
		env: func(string) string { return "" }, canAsk: true, canRead: true,
	}
	status = a.run(ctx, args)
	return status, out.String(), errs.String()
}

func TestEveryHelpTeaches(t *testing.T) {
	root := (&app{}).rootCommand()
	for _, cmd := range append(root.Commands(), root) {
		t.Run(cmd.Name(), func(t *testing.T) {
			args := []string{cmd.Name(), "--help"}
			if cmd == root {
				args = args[1:]
			}
			status, help, stderr := at(t, t.Context(), "", args...)
			if status != 0 || stderr != "" {
				t.Fatalf("exit status %d, standard error %q", status, stderr)
			}
			checkHelp(t, cmd, help)
		})
	}
}

func checkHelp(t *testing.T, cmd *cobra.Command, help string) {
	t.Helper()
	for _, want := range []string{
		strings.SplitN(cmd.Long, "\n", 2)[0], "\nUsage:\n  gatebook", "\nExamples:\n  gatebook", "--json",
		"\nExit status:\n  0  done\n  1  ", "\n  2  ", "\n  3  ",
	} {
		if want == "" || !strings.Contains(help, want) {
			t.Errorf("the help does not have %q", want)
		}
	}
	for _, line := range strings.Split(help, "\n") {
		if len(line) > 80 {
			t.Errorf("too wide a line: %s", line)
		}
	}
	if t.Failed() {
		t.Log(help)
	}
}

func TestErrorsForPeopleAreTwoLines(t *testing.T) {
	status, stdout, stderr := at(t, t.Context(), "", "list", "Front")
	if status != 2 || stdout != "" {
		t.Errorf("exit status %d, standard output %q", status, stdout)
	}
	lines := strings.Split(stderr, "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], `gatebook: "Front" is not`) || !strings.HasPrefix(lines[1], "next: ") {
		t.Errorf("standard error is %q", stderr)
	}
	if _, _, stderr = at(t, t.Context(), "", "list", "--json"); !strings.HasPrefix(stderr, `{"error":{"code":"bad_request"`) {
		t.Errorf("with --json standard error is %q", stderr)
	}
}

func TestExitStatuses(t *testing.T) {
	for code, want := range map[commands.Code]int{
		commands.BadRequest: 2, commands.Unavailable: 1, commands.NotConfigured: 3, commands.NotFound: 3,
		commands.NotActive: 3, commands.AlreadyRevoked: 3, commands.Expired: 3, commands.LimitReached: 3,
		commands.NotAllowed: 3, commands.Conflict: 3,
	} {
		a := &app{stderr: &bytes.Buffer{}, began: true}
		if got := a.status(commands.Refuse(code, "", "no")); got != want {
			t.Errorf("%s ends with %d, want %d", code, got, want)
		}
	}
	a := &app{stderr: &bytes.Buffer{}, began: true}
	if got := a.status(os.ErrPermission); got != 1 {
		t.Errorf("an error ends with %d, want 1", got)
	}
	if got := a.status(errFound); got != 1 {
		t.Errorf("a finding ends with %d, want 1", got)
	}
}

// ledger is a server with somebody in the ledger's place. The answers are by
// verb; a verb without one stays without an answer.
type ledger struct {
	flags []string
	asked chan *nats.Msg
	mute  chan bool // takes one request that nobody answers
}

func newLedger(t *testing.T, answers map[commands.Verb]any) ledger {
	t.Helper()
	n := testkit.StartNode(t, t.TempDir())
	creds, err := n.Issuer().Person("operator")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "owner.creds")
	if err := node.CreateSecret(path, creds); err != nil {
		t.Fatal(err)
	}
	nc, err := n.Answers()
	if err != nil {
		t.Fatal(err)
	}
	l := ledger{[]string{"--server", n.URL(), "--creds", path}, make(chan *nats.Msg, 10), make(chan bool, 1)}
	_, err = nc.Subscribe("cmd.>", func(m *nats.Msg) { l.answer(t, m, answers) })
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l ledger) answer(t *testing.T, m *nats.Msg, answers map[commands.Verb]any) {
	l.asked <- m
	select {
	case <-l.mute:
		return
	default:
	}
	_, verb, _, err := events.ParseRequest(m.Subject)
	if err != nil {
		t.Errorf("request: %v", err)
		return
	}
	body, err := json.Marshal(answers[commands.Verb(verb)])
	if err != nil {
		t.Errorf("answer: %v", err)
		return
	}
	if err := m.Respond(body); err != nil {
		t.Errorf("answer: %v", err)
	}
}

const someCode = "01K0000000000000000000000A"

func revocable() map[commands.Verb]any {
	digits := "4827"
	return map[commands.Verb]any{
		commands.Show: commands.ShowAnswer{
			ListItem: commands.ListItem{ID: someCode, Recipient: &commands.Guest{Name: "Erika", Mobile: "030"}, RemainingS: 60},
			Code:     &digits,
		},
		commands.Revoke: commands.RevokeAnswer{ID: someCode, RevokedAt: time.Now()},
	}
}

func TestRevokeAsksByName(t *testing.T) {
	for _, tc := range []struct {
		typed  string
		status int
		asked  int
	}{{"y\n", 0, 2}, {"YES\n", 0, 2}, {"\n", 1, 1}, {"n\n", 1, 1}, {"", 1, 1}} {
		l := newLedger(t, revocable())
		status, _, stderr := at(t, t.Context(), tc.typed, append(l.flags, "revoke", "front-gate", someCode)...)
		if status != tc.status || len(l.asked) != tc.asked || !strings.HasPrefix(stderr, "Delete access for Erika? ") {
			t.Errorf("after %q: exit status %d, %d requests, standard error %q", tc.typed, status, len(l.asked), stderr)
		}
	}
	l := newLedger(t, revocable())
	status, _, stderr := at(t, t.Context(), "", append(l.flags, "revoke", "--yes", "front-gate", someCode)...)
	if status != 0 || stderr != "" || len(l.asked) != 1 {
		t.Errorf("with --yes: exit status %d, %d requests, standard error %q", status, len(l.asked), stderr)
	}
}

func TestAnUnknownEnrolmentIsTakenUpAgain(t *testing.T) {
	l := newLedger(t, map[commands.Verb]any{commands.Enroll: commands.EnrollAnswer{Intercom: "front-gate", JWT: "jwt", MatchKey: make([]byte, 32)}})
	out := filepath.Join(t.TempDir(), "gate.creds")
	enroll := append(l.flags, "--json", "enroll", "front-gate", "--out", out, "--command-id", someCode)

	l.mute <- true
	status, _, stderr := at(t, t.Context(), "", append(enroll, "--timeout", "500ms")...)
	if status != 1 || !strings.Contains(stderr, `"details":{"outcome":"unknown","command":"`+someCode+`"}`) {
		t.Fatalf("exit status %d, standard error %s", status, stderr)
	}
	if !exists(out+".part") || exists(out) {
		t.Fatal("the key must stay, and there are no credentials yet")
	}

	status, _, stderr = at(t, t.Context(), "", enroll...)
	if status != 0 || exists(out+".part") || !exists(out) {
		t.Fatalf("exit status %d, standard error %s", status, stderr)
	}
	var first, second commands.EnrollRequest
	for _, r := range []*commands.EnrollRequest{&first, &second} {
		if err := json.Unmarshal((<-l.asked).Data, r); err != nil {
			t.Fatal(err)
		}
	}
	if first != second {
		t.Errorf("first %+v was asked for, then %+v", first, second)
	}
}

func TestAnInterruptEndsACommand(t *testing.T) {
	l := newLedger(t, nil)
	l.mute <- true
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-l.asked
		interrupt()
	}()
	status, _, stderr := at(t, ctx, "", append(l.flags, "--timeout", "1m", "list", "front-gate")...)
	if status != 1 || !strings.Contains(stderr, "interrupted") {
		t.Errorf("exit status %d, standard error %q", status, stderr)
	}
}

func TestASecretIsNotPrinted(t *testing.T) {
	key := make([]byte, 32)
	l := newLedger(t, map[commands.Verb]any{commands.Enroll: commands.EnrollAnswer{Intercom: "front-gate", JWT: "the.token", MatchKey: key}})
	out := filepath.Join(t.TempDir(), "gate.creds")
	status, stdout, stderr := at(t, t.Context(), "", append(l.flags, "enroll", "front-gate", "--out", out)...)
	if status != 0 {
		t.Fatal(stderr)
	}
	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if want := intercom.FormatCredentials("the.token", seedIn(t, written), key); !bytes.Equal(written, want) {
		t.Errorf("written was %s", written)
	}
	for _, secret := range []string{"the.token", string(seedIn(t, written))} {
		if strings.Contains(stdout+stderr, secret) {
			t.Errorf("%s was printed", secret)
		}
	}
}

func seedIn(t *testing.T, creds []byte) []byte {
	t.Helper()
	_, rest, _ := bytes.Cut(creds, []byte("BEGIN USER NKEY SEED-----\n"))
	seed, _, found := bytes.Cut(rest, []byte("\n"))
	if !found || !bytes.HasPrefix(seed, []byte("SU")) {
		t.Fatalf("no seed in %s", creds)
	}
	return seed
}

func TestVerifyThatFindsSomethingEndsWithOne(t *testing.T) {
	sequence, law := uint64(7), 6
	l := newLedger(t, map[commands.Verb]any{commands.Verify: commands.VerifyAnswer{
		Events: 9, FirstBadSequence: &sequence, Law: &law, Message: "event 7 was changed", Next: "restore it",
	}})
	status, stdout, stderr := at(t, t.Context(), "", append(l.flags, "verify", "--json")...)
	want := `{"ok":false,"events":9,"first_bad_sequence":7,"law":6,"message":"event 7 was changed","next":"restore it"}` + "\n"
	if status != 1 || stdout != want || stderr != "" {
		t.Errorf("exit status %d, standard output %s, standard error %q", status, stdout, stderr)
	}
	status, stdout, _ = at(t, t.Context(), "", append(l.flags, "verify")...)
	if status != 1 || !strings.Contains(stdout, "not well, 9 events read\nfirst bad  7\n") {
		t.Errorf("exit status %d, standard output %s", status, stdout)
	}
}
