// Package durable takes a ledger's power away and looks at what is left.
//
// In comes the real gatebook serve as a process, under load by persons and
// intercoms; while they ask, it is killed with kill -9, or the disk under it
// loses its power. All that any acceptance, refusal, list, receipt or repeated
// answer said is kept (law 3), and after each cut the ledger must open by itself
// with all of it, and nothing twice.
//
// load_test.go asks, told_test.go keeps what package robust's history has no
// place for, after_test.go looks at the opened ledger as its people see it, and
// at the end at each stored event. broken_test.go shows that the test can fail:
// a ledger that tells before the barrier loses.
package durable
