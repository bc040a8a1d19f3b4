package serve

import (
	"time"

	"gatebook/ops/metrics"
)

// watch adds the values that are read when the metrics are.
func (s *server) watch() {
	s.metrics.Rebuilt(s.service.Views().Opened().Rebuilt)
	s.metrics.WatchDurable(func() uint64 {
		m, _ := s.log.Durable().Mark()
		return m.Sequence
	})
	s.metrics.Watch(
		metrics.Gauge{Name: "gatebook_active_codes", Help: "Codes that take a slot now.", Read: s.activeCodes},
		metrics.Gauge{Name: "gatebook_intercoms", Help: "Intercoms that have had an event.",
			Read: func() float64 { return float64(len(s.service.Views().Intercoms())) }},
		metrics.Gauge{Name: "gatebook_durable_sequence", Help: "The durable mark: the newest event known to be on disk.",
			Read: func() float64 { m, _ := s.log.Durable().Mark(); return float64(m.Sequence) }},
		metrics.Gauge{Name: "gatebook_volume_free_bytes", Help: "Room on the ledger's volume, without the reserve.",
			Read: func() float64 { free, _ := s.space.Free(); return float64(free) }},
		metrics.Gauge{Name: "gatebook_volume_low", Help: "1 while no new codes are given out for want of room.",
			Read: func() float64 { return truth(s.space.Low()) }},
		metrics.Gauge{Name: "gatebook_clock_ok", Help: "1 while the ledger's clock can be trusted.",
			Read: func() float64 { _, err := s.clock.Now(); return truth(err == nil) }},
	)
}

func (s *server) activeCodes() float64 {
	n, now := 0, time.Now()
	for _, id := range s.service.Views().Intercoms() {
		n += s.service.Views().State(id).Count(now)
	}
	return float64(n)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
