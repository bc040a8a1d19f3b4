// Package metrics counts what a ledger does, for Prometheus.
//
// In come calls: a command answered, a sync done, an event applied, damage found;
// and functions to be read when somebody looks. Out goes one HTTP handler.
//
// What always holds: nothing tells of one intercom, code or guest. Every label
// has a fixed set of values, whatever callers send, so that a stranger cannot
// make the series grow; all else is "other". There are no globals: each Metrics
// has the registry that it was given.
package metrics
