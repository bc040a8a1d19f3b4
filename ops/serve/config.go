package serve

import (
	"log/slog"

	"gatebook/ops/node"
)

// Config says what to run and where.
type Config struct {
	// Dir is the data folder; it is made if it is not there.
	Dir string
	// Listen is where the embedded server takes NATS clients: host:port, port 0
	// for any.
	Listen string
	// HTTP is where health and metrics are served: host:port, port 0 for any.
	HTTP string
	// Metrics, when set, is a second address that serves the metrics alone.
	Metrics string
	// URL and Creds join existing servers in place of the embedded one; Creds is
	// the bundle that gatebook accounts writes.
	URL, Creds string
	// Replicas of each stream: 1 embedded, 3 on a cluster.
	Replicas int
	Log      *slog.Logger
	// Ready, when set, is called once requests are answered.
	Ready func(node.Address)
}
