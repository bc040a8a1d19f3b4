// Package node is the NATS that a ledger stands on: a server inside this
// process (Start) or an existing one (Join), and who may connect to it.
//
// In come a data folder or the URL and bundle of existing servers; out go two
// connections for the ledger and the credentials of people and intercoms.
//
// There are three accounts. LEDGER has the streams, and only the ledger
// connects there. EDGE has no JetStream; people and intercoms connect there,
// and so does the connection that answers them. SYS is the servers' own. One
// thing crosses over: what LEDGER republishes as live.*.* is seen in EDGE.
//
// What always holds:
//
//   - The connection that answers may publish on the inboxes of EDGE and
//     nowhere else, so that no reply subject a caller can think of writes an
//     event or is seen by an intercom (law 8).
//   - A person asks as that person only, an intercom as itself and for itself
//     only: the server refuses every other subject.
//   - A revoked key is cut off at once and never comes back, whatever the
//     clocks say: not after a restart, not on another server of the cluster.
//   - One process holds a folder at a time; the lock is let go after the server
//     has stopped writing, not before.
//   - Keys are made once. Without them the streams on disk belong to nobody, so
//     a folder that has streams and no keys is refused, not begun anew.
package node
