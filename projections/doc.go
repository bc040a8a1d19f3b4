// Package projections folds the events of an intercom into its state. In come
// stored events in revision order; out goes the state that commands decide on,
// that views keep, that intercoms follow and that the verifier compares.
//
// What always holds: there is one fold, Apply, and it is pure. It never changes
// the state that it is given, so a state may be shared between goroutines, kept
// as a snapshot and branched by a checker. A state holds instants, never
// "expired": now is an argument (law 11).
package projections
