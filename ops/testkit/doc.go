// Package testkit holds what tests of several packages need: disks that can be
// filled and cut off from their power, and waiting for a condition.
//
// In comes the running test; out goes a thing that is ready for use. What
// always holds: a helper fails the test itself and never returns half made
// things, it undoes itself when the test ends, and nothing here sleeps for a
// guessed time. Only tests import this package; a test of a package that
// testkit itself may come to need lies in that package's external test package
// (name_test), so that no import goes in a circle.
package testkit
