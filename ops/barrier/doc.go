// Package barrier makes what was written to a store durable for many callers
// at once (law 3), and says where that may be relied on.
//
// In comes a folder; out goes a descriptor whose Sync is one syncfs(2), the
// verdict whether such a barrier is sound for the store (Sound), and the marker
// and the cache drop by which a start after a failed barrier knows that memory
// may show what the disk does not hold.
//
// What always holds:
//   - Sync returns nil only if everything written to the file system before it
//     was called is on the disk, and no write-back error was seen since Open.
//   - After one error every later Sync returns that error. The kernel reports an
//     error once and then calls the lost pages clean; a barrier that recovered
//     by itself would be a lie.
//   - Sound knows no "probably": whatever cannot be established is a reason
//     against. The caller then lets the store fsync every write.
//
// The order after a failed barrier: tell nobody anything, MarkFailed, stop. The
// next start, when Failed says so: Open, Sync (it writes what is still dirty),
// DropCache, read everything against the chain, ClearFailed, serve.
package barrier
