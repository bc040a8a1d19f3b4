// Package web serves what needs no token over HTTP: whether the process lives
// (/healthz), whether it answers commands (/readyz), its metrics (/metrics), and
// a few lines that say what it is (/).
//
// In comes a function that says why the ledger is not ready, and the handler of
// the metrics; out goes a server on a port of its own.
//
// What always holds: nothing here reads or changes the ledger, no answer holds a
// secret, and a slow, silent or endless caller is cut off.
package web
