// Package seal keeps what a guest must be able to have forgotten: the name, the
// number and the digits of a code, readable only with a key of their own (law 9).
//
// In come guests and the keys of codes; out go sealed boxes, which are stored in
// events for ever, and wrapped keys, which are stored in the stream KEYS until
// they are destroyed. The master key wraps the keys of codes and is the root of
// the key that each intercom matches digits with.
//
// What always holds:
//   - A box opens only with its key, for its intercom and its code; anything else
//     is ErrSealed, without saying what was wrong.
//   - The length of a box says little: plain text is padded to 128 bytes.
//   - No two keys are ever stored for one code, and a stored one is never replaced.
//   - Guests, keys and the master key print as "[sealed]", whatever prints them.
//   - Destroy returns nil only after the server has rewritten the block file
//     without the key. What that does not reach is listed below.
//
// # Durability
//
// Put and Destroy return with the server's acknowledgement. On a server that
// syncs lazily, neither is on the disk before the barrier that the caller waits
// for: put the key, store its event, wait once for both (law 3).
//
// # What destroying does not reach
//
//   - A server that is killed inside Destroy may have noted the deletion and
//     not yet rewritten the block: the key is gone for every reader and its bytes
//     are in the file still. Scrub, run on the stopped server's folder before each
//     start, overwrites exactly such bytes.
//   - The server does not overwrite in place: it writes the block anew and renames.
//     The former sectors are free space until the disk uses or trims them.
//   - On a cluster a wrapped key also passes through each replica's Raft log and
//     stays there until that log is next compacted, two to three minutes in general;
//     and what a kill leaves, it leaves on that replica, whatever the leader answers.
//   - A server with encryption at rest does not rewrite at all. Do not keep KEYS
//     on one.
//   - A copy or a backup made before the destruction has the key.
package seal
