// Package edge breaks what lies between a ledger and its keypads.
//
// In come the real gatebook serve and gatebook intercom as processes, with a
// proxy for the line between them: it is cut, closed and silent, processes are
// stopped, killed and started again. What must hold: an intercom is right within
// a second of coming back, refuses by itself what memory can refuse, opens for
// nothing that the ledger has not answered for (laws 2, 4), opens nothing twice
// (law 1), and the history says what happened.
package edge
