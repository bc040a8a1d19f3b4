package durable

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatebook/commands/client"
	"gatebook/ops/robust"
	"gatebook/ops/testkit"
)

const (
	shortKills, fullKills = 3, 20
	shortCuts, fullCuts   = 1, 5
	volumeMiB             = 1024
	// loadWithin is for a machine that is busy with other things.
	loadWithin = 3 * time.Minute
	// diesWithin is how long a server whose disk has gone is left to itself:
	// what it tells now must be true too.
	diesWithin = time.Second
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// TestKillsLoseNothingTold: kill -9 of a server under load.
func TestKillsLoseNothingTold(t *testing.T) {
	kill := func(s *testkit.Server) { s.Kill() }
	cuts(t, t.TempDir(), testkit.Sized(shortKills, fullKills), 300, kill)
}

// TestPowerCutsLoseNothingTold: the disk under a server loses its power, with
// all that it has not written.
func TestPowerCutsLoseNothingTold(t *testing.T) {
	v := testkit.NewVolume(t, volumeMiB)
	cut := func(s *testkit.Server) {
		v.Cut()
		select {
		case <-s.Done():
			t.Log("the server ended by itself when its disk was gone")
		case <-time.After(diesWithin):
			t.Log("the server still ran when its disk was gone")
		}
		s.Kill()
		v.Remount()
	}
	const want = "one shared syncfs barrier"
	if s := cuts(t, filepath.Join(v.Dir, "ledger"), testkit.Sized(shortCuts, fullCuts), 600, cut); !strings.Contains(s.Log(), want) {
		t.Errorf("the ledger does not run with %s, so this said nothing about it", want)
	}
}

// cuts runs a ledger under load and cuts it off n times, each time after at
// least so many accepted commands.
func cuts(t *testing.T, dir string, n, least int, cut func(*testkit.Server)) *testkit.Server {
	t.Helper()
	seed := testkit.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	server := testkit.StartServer(t, testkit.Program(t), dir)
	w := newWorld(t, seed, server)
	for round := range n {
		gates := w.gates(round)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			run(ctx, gates)
			close(ended)
		}()
		// The load must have said enough to lose, and never the same amount.
		enough := w.accepted.Load() + int64(least+rnd.IntN(least))
		testkit.Eventually(t, loadWithin, func() error {
			if got := w.accepted.Load(); got < enough {
				return fmt.Errorf("%d commands were accepted, want %d", got, enough)
			}
			return nil
		})
		cut(server)
		stop()
		<-ended
		server = reopen(t, server)
		w.after(gates)
		for _, g := range gates {
			g.keypad.nc.Close()
		}
		t.Logf("cut %d of %d: %d commands accepted so far", round+1, n, w.accepted.Load())
		if t.Failed() {
			return server
		}
	}
	if status := server.Terminate(); status != 0 {
		t.Errorf("the server ended with status %d", status)
	}
	w.judge(dir)
	return server
}

// reopen starts the server again: it must come up by itself.
func reopen(t *testing.T, s *testkit.Server) *testkit.Server {
	t.Helper()
	again, err := testkit.TryServer(t, testkit.Program(t), s.Dir, "--nats-listen", s.Address())
	switch {
	case err == nil:
		return again
	case strings.Contains(again.Log(), "refusing to serve by law 6"):
		log := strings.Split(strings.TrimSpace(again.Log()), "\n")
		t.Fatalf("LOST: the ledger does not open by itself after the cut: %s", log[len(log)-1])
	default:
		t.Fatalf("the server does not start after the cut: %v", err)
	}
	return nil
}

func newWorld(t *testing.T, seed uint64, s *testkit.Server) *world {
	t.Helper()
	creds, err := os.ReadFile(filepath.Join(s.Dir, "owner.creds"))
	if err != nil {
		t.Fatal(err)
	}
	people, err := client.Dial(s.NATS, creds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(people.Close)
	return &world{t: t, seed: seed, people: people, url: s.NATS, h: robust.NewHistory(), told: newTold()}
}

// gates makes the intercoms of a round. Each round has its own: the digits of
// ended codes rest for a day.
func (w *world) gates(round int) []*gate {
	w.t.Helper()
	var gates []*gate
	for n := range gatesEach {
		var g *gate
		testkit.Eventually(w.t, askWithin, func() (err error) { // the clients may still be on their way back
			g, err = w.setUp(fmt.Sprintf("gate-%d-%d", round, n))
			return err
		})
		gates = append(gates, g)
	}
	return gates
}
