// Package intercom is the process at the gate: it reads digits, asks the ledger
// and tells the gate.
//
// In come lines from a keypad, one attempt a line, and over NATS the events of
// this one intercom: live as they are stored, and in catch-ups that say what is
// durable. Out go one decision a line, orders to the gate, and to the ledger
// what was asked (use), how the gate answered (failed) and how far the events
// have been applied (receipt).
//
// What always holds:
//   - no gate is told to open unless the ledger answered "open" less than 2 s
//     after it was asked, on a clock that counts suspend, and the opening is on
//     this disk (laws 2, 4)
//   - memory is used only to refuse: what live says may not be durable yet, and
//     what is on this disk may be old
//   - a code once seen revoked stays rejected, whatever the ledger shows later
//     (law 2); what memory refuses while connected but not caught up is only
//     what nothing can undo
//   - an attempt is on disk before it is asked and until the ledger knows how it
//     ended; it is never opened for a second time
//   - digits are in no log, no error and no file
//
// A guest's path: keypad.go (a line becomes an input), decide.go (what memory
// can refuse), ask.go (what only the ledger can say, and the gate). Beside it:
// follow.go and sync.go feed memory.go and catchup.go, the one writer of
// table.go; attempts.go and receipts.go say to the ledger what it is owed;
// saved.go and tombs.go outlast the process.
package intercom
