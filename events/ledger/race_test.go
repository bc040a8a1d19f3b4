package ledger_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"gatebook/events"
	"gatebook/events/ledger"
	"gatebook/ops/testkit"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const writers = 3

// race lets all writers append after the same sequence at once and gives the
// errors.
func race(write func(writer int) error) [writers]error {
	var errs [writers]error
	var start, done sync.WaitGroup
	start.Add(1)
	for w := range writers {
		done.Add(1)
		go func() {
			defer done.Done()
			start.Wait()
			errs[w] = write(w)
		}()
	}
	start.Done()
	done.Wait()
	return errs
}

// With one spelling of the fence no two of several writers win the same revision,
// on three replicas, each writer on another server.
func TestOneWriterWinsEachRevision(t *testing.T) {
	cluster := testkit.StartCluster(t)
	var logs [writers]*ledger.Log
	for w := range writers {
		logs[w] = open(t, connect(t, cluster.Join()), ledger.Config{Replicas: 3})
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	races := 0
	until := time.Now().Add(5 * time.Second)
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			intercom := "gate-" + strconv.Itoa(i)
			var last events.Stored
			for time.Now().Before(until) {
				var stored [writers]events.Stored
				var pending [writers]*ledger.Pending
				for w := range writers {
					pending[w], _ = ledger.Prepare(event(intercom, last), last.Sequence)
				}
				errs := race(func(w int) (err error) {
					stored[w], err = logs[w].Append(t.Context(), pending[w])
					return err
				})
				wins := 0
				for w, err := range errs {
					if err == nil {
						wins, last = wins+1, stored[w]
					} else if !errors.Is(err, ledger.ErrConflict) {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
				if wins > 1 {
					t.Errorf("%d writers won revision %d of %s", wins, last.Revision, intercom)
					return
				}
				mu.Lock()
				// The leader may turn all away because of a message that it is still
				// storing: then nobody was first, and all try again.
				races += wins
				mu.Unlock()
			}
			if end, err := logs[0].Last(t.Context(), intercom); err != nil || end.Mark() != last.Mark() {
				t.Errorf("%s ends with revision %d, and revision %d was the last that anybody won (%v)", intercom, end.Revision, last.Revision, err)
			}
		}()
	}
	all.Wait()
	t.Logf("%d races", races)
	if races < 1000 {
		t.Errorf("only %d races: this shows nothing", races)
	}
}

// The control: with two spellings of the same expression the guard lets two
// writers win the same revision. If this ever fails, the server has mended it.
func TestTwoSpellingsLetBothWin(t *testing.T) {
	cluster := testkit.StartCluster(t)
	l := open(t, connect(t, cluster.Join()), ledger.Config{Replicas: 3})
	var conns [writers]jetstream.JetStream
	for w := range writers {
		js, err := jetstream.New(connect(t, cluster.Join()))
		if err != nil {
			t.Fatal(err)
		}
		conns[w] = js
	}
	spellings := [writers]string{"ledger.north.>", "ledger.north.*", "ledger.north.>"}
	codes := map[jetstream.ErrorCode]int{}
	began := time.Now()
	for n := 1; time.Since(began) < 10*time.Second; n++ {
		last, err := l.LastSequence(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wins := 0
		for _, err := range race(func(w int) error { return forge(t, conns[w], spellings[w], last) }) {
			var api *jetstream.APIError
			switch {
			case err == nil:
				wins++
			case errors.As(err, &api):
				codes[api.ErrorCode]++
			default:
				t.Fatal(err)
			}
		}
		if wins > 1 {
			t.Logf("race %d had %d winners after %s; lost races by code: %v", n, wins, time.Since(began).Round(time.Millisecond), codes)
			return
		}
	}
	t.Errorf("two spellings never let two writers win; lost races by code: %v", codes)
}

// A lost race is answered with either of two codes, and Append knows both.
func TestLostRacesHaveTwoCodes(t *testing.T) {
	cluster := testkit.StartCluster(t)
	l := open(t, connect(t, cluster.Join()), ledger.Config{Replicas: 3})
	codes := map[jetstream.ErrorCode]int{}
	for range 300 {
		last, err := l.LastSequence(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range race(func(int) error { return forge(t, l.JetStream(), events.Fence("north"), last) }) {
			var api *jetstream.APIError
			if errors.As(err, &api) {
				codes[api.ErrorCode]++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if err := forge(t, l.JetStream(), events.Fence("north"), last); err != nil { // stale, and nobody is on the way
			var api *jetstream.APIError
			errors.As(err, &api)
			codes[api.ErrorCode]++
		}
	}
	t.Logf("lost races by code: %v", codes)
	if codes[10071] == 0 || codes[10164] == 0 || len(codes) != 2 {
		t.Errorf("lost races by code: %v", codes)
	}
}

func forge(t *testing.T, js jetstream.JetStream, fence string, after uint64) error {
	m := nats.NewMsg("ledger.north.forged")
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(after, 10))
	m.Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, fence)
	_, err := js.PublishMsg(t.Context(), m)
	return err
}
