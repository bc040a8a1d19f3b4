// Package service answers commands: it is the one place where deciding meets
// the ledger. In come requests on cmd.<intercom>.<command>.<actor>; out go
// events on LEDGER and answers on the caller's inbox.
//
// What always holds: commands on one intercom are decided one after another,
// each on a state that has every event before it; nobody is answered before
// what the answer rests on is durable, refusals and lists included (law 3); an
// accepted command is found again by its id for 24 h and never done twice; an
// append without an answer blocks its intercom until it is settled, never
// guessed. Who asks is read from the subject, which the caller's credentials
// fix (law 8).
package service
