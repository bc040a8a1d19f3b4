package metrics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatebook/commands"
	"gatebook/events"
	"gatebook/ops/metrics"
	"gatebook/projections"

	"github.com/prometheus/client_golang/prometheus"
)

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return string(body)
}

func want(t *testing.T, m *metrics.Metrics, lines ...string) {
	t.Helper()
	got := scrape(t, m)
	for _, l := range lines {
		if !strings.Contains(got, "\n"+l+"\n") {
			t.Errorf("no line %q in\n%s", l, only(got, "gatebook_"))
		}
	}
}

func only(text, prefix string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func stored(sequence uint64, t events.Type) events.Stored {
	return events.Stored{Event: events.Event{Type: t}, Sequence: sequence}
}

func TestWhatIsCounted(t *testing.T) {
	m := metrics.New(prometheus.NewRegistry())
	m.Command(string(commands.Revoke), "ok", 300*time.Microsecond)
	m.Command(string(commands.Revoke), string(commands.AlreadyRevoked), time.Millisecond)
	m.Sync(64, 900*time.Microsecond)
	m.Event(projections.State{}, stored(7, events.Revoked))
	m.Event(projections.State{}, stored(6, events.Issued))
	m.Rot()
	m.Rebuilt(3)
	m.ServerWarning()
	durable := uint64(5)
	m.WatchDurable(func() uint64 { return durable })
	m.Watch(metrics.Gauge{Name: "gatebook_clock_ok", Help: "h", Read: func() float64 { return 1 }})
	want(t, m,
		`gatebook_commands_total{command="revoke",result="ok"} 1`,
		`gatebook_commands_total{command="revoke",result="already_revoked"} 1`,
		`gatebook_command_seconds_bucket{command="revoke",le="0.0004"} 1`,
		`gatebook_command_seconds_count{command="revoke"} 2`,
		`gatebook_barrier_seconds_count 1`,
		`gatebook_barrier_waiters_sum 64`,
		`gatebook_events_total{type="revoked"} 1`,
		`gatebook_events_total{type="issued"} 1`,
		`gatebook_rot_found_total 1`,
		`gatebook_views_rebuilt_total 3`,
		`gatebook_server_warnings_total 1`,
		`gatebook_durable_lag 2`,
		`gatebook_clock_ok 1`,
	)
	durable = 9 // another process stored more than this one has applied
	want(t, m, `gatebook_durable_lag 0`)
}

// What callers make up does not make series.
func TestLabelsAreBounded(t *testing.T) {
	m := metrics.New(prometheus.NewRegistry())
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			n := strconv.Itoa(i)
			m.Command("verb-"+n, "result-"+n, 0)
			m.Event(projections.State{Intercom: "gate-" + n}, stored(uint64(i), events.Type("type-"+n)))
			m.Command(string(commands.Use), string(projections.Unknown), 0)
		})
	}
	all.Wait()
	want(t, m,
		`gatebook_commands_total{command="other",result="other"} 500`,
		`gatebook_commands_total{command="use",result="other"} 500`,
		`gatebook_events_total{type="other"} 500`,
	)
	for _, made := range []string{"verb-", "result-", "type-", "gate-"} {
		if strings.Contains(scrape(t, m), made) {
			t.Errorf("%s is in the metrics", made)
		}
	}
}

// Two ledgers in one process do not share what they count.
func TestNoGlobals(t *testing.T) {
	a, b := metrics.New(prometheus.NewRegistry()), metrics.New(prometheus.NewRegistry())
	a.Rot()
	want(t, a, "gatebook_rot_found_total 1")
	want(t, b, "gatebook_rot_found_total 0")
}
