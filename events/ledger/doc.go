// Package ledger stores events on the LEDGER stream and reads them back.
//
// In come decided events with the sequence that they must follow; out come
// events as the stream has them. Three outcomes of an append are kept apart:
// stored, ErrConflict (someone was first) and ErrUnknown (no answer: settle it
// with Settle, never by guessing). ErrUnavailable is a fourth that needs no
// settling: nothing was handed over.
//
// What always holds: every append carries the one fence expression of
// events.Fence; the stream is configured as Config.stream says, or nothing is
// served; and Durable never names a sequence that is not on disk (law 3).
package ledger
