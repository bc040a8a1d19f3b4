// Package events holds what is for ever: the envelope of an event, the types,
// the chain that ties each event of an intercom to the one before it, and the
// subjects that events and requests travel on.
//
// In come facts that somebody decided; out go bytes that are stored once and
// never changed, and back. The package is pure: no network, no clock, no disk.
//
// What always holds: the same event encodes to the same bytes, a field that was
// stored under a name is read under that name for ever, and no event holds a
// digit, name or number of a guest except sealed under that guest's own key.
//
// # The laws
//
// Named by number in code, tests, the verifier and the docs.
//
//  1. One entry, one exit. A code admits at most one entry and, after it, at
//     most one exit; one whose gate reported failure does not count.
//  2. Revoked is revoked. Once anybody has been told that a code is revoked, no
//     entry or exit on it is ever recorded after.
//  3. Told is on disk. Nobody is told anything that rests on an event which is
//     not yet durable.
//  4. No gate opens without a fact. The entered or exited event is durable
//     before the gate is told to open.
//  5. The limit holds. Never more active codes on an intercom than its limit;
//     never two with the same digits.
//  6. The log is the only truth. Events are never edited or deleted; every view
//     can be thrown away and rebuilt with an identical result.
//  7. Everyone is answered for. Every event says who, how and when.
//  8. Nobody acts beyond their role. Who asks is fixed by credentials, never by
//     the body of a request.
//  9. Forgetting works. A guest's name, number and digits lie only sealed under
//     a key of their own.
//  10. Settings touch new codes only. A live code keeps what it was issued with.
//  11. Time is UTC and the ledger's. Expiry is judged when deciding, from the
//     event; an event's time is never before that of its intercom's previous one.
package events
