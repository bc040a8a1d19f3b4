// Package views keeps the state of every intercom: in memory for who decides
// and reads, and behind that in the VIEWS bucket so that a start reads only the
// tail of the ledger.
//
// In come events as the ledger has them; out go immutable states. What always
// holds: a kept view is a byte-for-byte function of the intercom's events, is
// written only from durable ones, carries the mark it was made at, and may be
// thrown away at any time (law 6). A view that is damaged, or whose mark the
// stream does not have, is rebuilt from the events.
package views
