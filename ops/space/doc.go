// Package space keeps room on the volume for what must never be refused: when
// the volume is low no code is issued, while revoke, use and withdraw go on from
// a reserve.
//
// In comes the data folder; out go two answers, Low and Ensure, and a log line
// for each change that somebody should act on. The reserve is a file of
// allocated, unwritten blocks in that folder; giving room means cutting a chunk
// off its end.
//
// What always holds:
//   - Ensure returns nil only if at least a chunk (1 MiB, on small volumes a
//     quarter of the reserve) was free a moment ago. So the store never meets a
//     full disk in the middle of an append, which it would not recover from.
//   - Making or regrowing the reserve never makes the volume low.
//   - What cannot be measured counts as low, and Ensure refuses.
//
// What is not promised: the reserve is room on the volume, not room for us. A
// neighbour that goes on writing takes it too, chunk by chunk. The data folder
// deserves a volume of its own.
//
// The reserve's size is its only state, and the file system keeps that. A crash
// at any line leaves a reserve that is too small at worst, and Run regrows it.
package space
