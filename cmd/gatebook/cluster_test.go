package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"gatebook/commands"
	"gatebook/events/seal"
	"gatebook/ops/node"
	"gatebook/ops/testkit"
)

// Two ledgers stand on the same servers: what one was asked to store, the other
// shows, and a stop of one leaves the other answering.
func TestTwoLedgersOnOneCluster(t *testing.T) {
	c := testkit.StartCluster(t)
	if _, err := seal.LoadMaster(masterKey(filepath.Dir(c.Bundle)), true); err != nil {
		t.Fatal(err)
	}
	first, second := serveOn(t, c), serveOn(t, c)
	ask := func(l *served, into any, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		args = append(args, "--json", "--timeout", "20s", "--server", c.URL(), "--creds", filepath.Join(l.dir, "owner.creds"))
		if status := run(t.Context(), args, strings.NewReader(""), &out, &errs, noEnv); status != 0 {
			t.Fatalf("%s: exit status %d: %s", args[0], status, errs.String())
		}
		if err := json.Unmarshal(out.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	var settings commands.SettingsAnswer
	ask(first, &settings, "settings", "front-gate", "--limit", "3")
	var issued commands.IssueAnswer
	ask(second, &issued, "issue", "front-gate", "--name", "Erika", "--mobile", "030123456")
	first.stop(t)
	var list commands.ListAnswer
	ask(second, &list, "list", "front-gate")
	if len(list.Codes) != 1 || list.Codes[0].ID != issued.ID || list.Limit != 3 {
		t.Errorf("got %+v", list)
	}
	second.stop(t)
}

func noEnv(string) string { return "" }

// served is a ledger that the program serves in this process.
type served struct {
	dir    string
	end    context.CancelFunc
	status chan int
}

func serveOn(t *testing.T, c *testkit.Cluster) *served {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	s := &served{dir: t.TempDir(), end: end, status: make(chan int, 1)}
	stdout, out := io.Pipe()
	var logs bytes.Buffer
	go func() {
		s.status <- run(ctx, []string{
			"serve", "--json", "--data", s.dir, "--http", "127.0.0.1:0",
			"--nats", c.URL(), "--creds", c.Bundle, "--replicas", "3",
		}, strings.NewReader(""), out, &logs, noEnv)
		out.Close()
	}()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("serve: exit status %d: %s", <-s.status, logs.String())
	}
	var at node.Address
	if err := json.Unmarshal(line, &at); err != nil {
		t.Fatal(err)
	}
	if at.NATS != c.URL() || at.HTTP == "" {
		t.Errorf("ready at %+v", at)
	}
	return s
}

func (s *served) stop(t *testing.T) {
	t.Helper()
	s.end()
	if status := <-s.status; status != 0 {
		t.Errorf("serve ends with %d", status)
	}
}
