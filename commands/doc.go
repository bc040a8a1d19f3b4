// Package commands decides. In come an intercom's state, a command, who asks
// and the time; out comes one event to store, or a refusal.
//
// What always holds: deciding is pure. Clock, randomness and ids are passed in,
// nothing is read or written, and the same input gives the same decision. One
// command is one event. Requests and answers, as they travel on cmd.> and as
// the command line prints them, are the plain structs in requests.go and
// answers.go.
package commands
