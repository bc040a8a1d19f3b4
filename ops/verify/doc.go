// Package verify reads a whole ledger and says the first thing that is wrong
// with it, by sequence and by law.
//
// In comes a ledger: one that is being served (Ledger), or the data folder of
// one that is stopped (Folder). Out goes one answer: all is well, or what is
// wrong first, where, against which law, and what to do.
//
// What always holds: nothing of the ledger is written, not even when it is
// damaged; the verdict does not depend on what a server believes about its own
// files; and no answer holds a guest's name, number or digits.
//
// # What is checked
//
// Every event is there, in its place, readable, under its own subject, tied to
// its intercom's previous one by hash and by sequence, and breaks no law. What
// was kept outside the stream (the head, the kept views and their mark, the
// server's index) was made from exactly these events. The stream is configured
// as a ledger's must be. Each view is what its events make of it. Of a stopped
// folder also each record of each stream has its checksum.
//
// # What is not noticed
//
//   - The head vouches for the last event, and through the chain for those of
//     that event's intercom. Somebody who rewrites an event of another intercom,
//     the whole of its chain after it, every checksum and the kept view as well
//     is not noticed: none of these needs a key. The intercom itself notices at
//     its next catch-up.
//   - The same goes for the order of events of different intercoms. Of a stopped
//     folder it is noticed by the fence that each event was stored with, unless
//     the fences are rewritten or taken away too; of a served ledger by the kept
//     views and the head alone.
//   - A record that was torn by a power cut after the head was written is no
//     finding: nobody was told of it. So what rots in the last 100 ms before an
//     unclean stop may pass for torn.
//   - A record that the server has in its memory is read from there: rot on the
//     disk under a served ledger shows once it is read from the disk again.
package verify
