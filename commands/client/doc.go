// Package client asks a ledger on behalf of a person. In come the URL of a NATS
// server, the person's credentials and a request; out comes the answer, or a
// *commands.Refusal that says why there is none and what to do about it.
//
// What always holds: who asks is read from the credentials, never named by the
// caller (law 8); a request is sent once and never repeated here; and where it
// cannot be told whether a command was stored, the refusal says so in its
// details and names the id to repeat it with.
package client
