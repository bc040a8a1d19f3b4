// Package secrets looks for what must not be where it is (law 9).
//
// In comes what a whole story of guests leaves behind: the data folder, the logs
// at debug level, the metrics, the intercom's state, the live subjects. Names,
// numbers and digits are looked for in every spelling that a leak would have
// (needles_test.go). And once a code's key is destroyed, a program that has the
// whole data folder, master key included, must not be able to tell which of the
// 10,000 digits the code had (attack_test.go). Both are shown to find what is
// there before they are believed to find nothing.
package secrets
