package metrics

import (
	"net/http"
	"sync/atomic"
	"time"

	"gatebook/events"
	"gatebook/projections"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is what one ledger process counts. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	commands *prometheus.CounterVec
	took     *prometheus.HistogramVec
	syncs    prometheus.Histogram
	waiters  prometheus.Histogram
	events   *prometheus.CounterVec
	rot      prometheus.Counter
	rebuilt  prometheus.Counter
	warnings prometheus.Counter
	newest   atomic.Uint64
}

// New makes the metrics on a registry, which must not have them yet.
func New(registry *prometheus.Registry) *Metrics {
	f := promauto.With(registry)
	m := &Metrics{
		registry: registry,
		commands: f.NewCounterVec(counter("gatebook_commands_total", "Requests answered, by command and by result: ok or why not."), []string{"command", "result"}),
		took:     f.NewHistogramVec(histogram("gatebook_command_seconds", "Time from a request to its answer.", times()), []string{"command"}),
		syncs:    f.NewHistogram(histogram("gatebook_barrier_seconds", "Time that one sync of the disk took.", times())),
		waiters:  f.NewHistogram(histogram("gatebook_barrier_waiters", "How many waited for one sync.", prometheus.ExponentialBuckets(1, 2, 10))),
		events:   f.NewCounterVec(counter("gatebook_events_total", "Events applied, those read at the start included."), []string{"type"}),
		rot:      f.NewCounter(counter("gatebook_rot_found_total", "How often a reading of the ledger found it not to be well.")),
		rebuilt:  f.NewCounter(counter("gatebook_views_rebuilt_total", "Kept views that could not be believed and were made anew.")),
		warnings: f.NewCounter(counter("gatebook_server_warnings_total", "What the embedded server warned of or failed at.")),
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Name: name, Help: help}
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
}

// times are buckets from 0.1 ms, half of what an answer takes at best, to 3.3 s,
// beyond which an opening answer is worth nothing.
func times() []float64 { return prometheus.ExponentialBuckets(0.0001, 2, 16) }

// Handler serves the metrics as Prometheus asks for them.
func (m *Metrics) Handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
}

// Command tells of a request answered: its command, "ok" or the refusal's code,
// and the time it took.
func (m *Metrics) Command(verb, result string, took time.Duration) {
	verb = knownVerb(verb)
	m.commands.WithLabelValues(verb, knownResult(result)).Inc()
	m.took.WithLabelValues(verb).Observe(took.Seconds())
}

// Sync tells of one sync of the disk and how many waited for it.
func (m *Metrics) Sync(waiters int, took time.Duration) {
	m.waiters.Observe(float64(waiters))
	m.syncs.Observe(took.Seconds())
}

// Event tells of an event that was applied, with the state after it.
func (m *Metrics) Event(_ projections.State, e events.Stored) {
	m.events.WithLabelValues(knownType(e.Type)).Inc()
	for {
		newest := m.newest.Load()
		if e.Sequence <= newest || m.newest.CompareAndSwap(newest, e.Sequence) {
			return
		}
	}
}

// Rot tells that a reading of the ledger found it not to be well (law 6).
func (m *Metrics) Rot() { m.rot.Inc() }

// Rebuilt tells how many kept views were made anew.
func (m *Metrics) Rebuilt(views int) { m.rebuilt.Add(float64(views)) }

// ServerWarning tells of a warning or an error of the embedded server.
func (m *Metrics) ServerWarning() { m.warnings.Inc() }
