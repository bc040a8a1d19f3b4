// Package serve runs a ledger: it opens the data folder, stands up or joins the
// servers, opens the ledger, refuses to serve one that is not whole, and answers
// commands until it is told to stop. In comes a Config, out goes a process that
// keeps the laws; nothing else wires the parts together.
//
// What always holds: nobody is answered before the first sync, and a stop
// answers who was being answered, writes the views and the head, and loses
// nothing.
package serve
