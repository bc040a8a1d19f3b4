package metrics

import "github.com/prometheus/client_golang/prometheus"

// Gauge is a value that is read when the metrics are. Read must be quick and safe
// for concurrent use.
type Gauge struct {
	Name, Help string
	Read       func() float64
}

// Watch adds gauges. A name may be added once.
func (m *Metrics) Watch(gauges ...Gauge) {
	for _, g := range gauges {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.Name, Help: g.Help}, g.Read))
	}
}

// WatchDurable adds gatebook_durable_lag: how many events are applied and not yet
// known to be on disk. durable is the sequence of the newest that is.
func (m *Metrics) WatchDurable(durable func() uint64) {
	m.Watch(Gauge{
		Name: "gatebook_durable_lag", Help: "Events stored that are not yet known to be on disk.",
		Read: func() float64 {
			newest, on := m.newest.Load(), durable()
			return float64(max(newest, on) - on)
		},
	})
}
