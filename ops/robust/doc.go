// Package robust asks a ledger from many callers at once, loses answers and
// leaders on the way, and then judges the whole history: what every caller asked
// and was told, against what the ledger holds.
//
// In come operations with the instants at which they began and were answered;
// out goes a list of what is wrong, empty if nothing is. There are three judges,
// each in a file of its own:
//
//   - fold.go reads LEDGER in revision order: the laws hold for each event, each
//     acknowledged command is there exactly once, each answer says what the
//     events say, and there is no event that nobody asked for.
//   - realtime.go looks at the clock: who asks after another was answered is
//     answered from a state at least as new, and no gate opens for one who asks
//     after somebody was told of the revoke (law 2).
//   - linear.go gives each intercom's operations to porcupine, whose model is the
//     project's own fold and deciders.
//
// What always holds: an operation without an answer stays open for ever, and a
// check that does not come to an end counts as failed. That the judges can tell
// a wrong history is itself tested (judges_test.go), and so is that a ledger
// with one broken mechanism is caught (broken_test.go).
package robust
