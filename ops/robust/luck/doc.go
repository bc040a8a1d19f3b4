// Package luck tries bad luck on the real program: a full disk, a folder in use,
// a stream or a view that somebody or something changed behind its back. In come
// a server that was fine and one accident; out comes what the operator is told,
// and the proof that nothing told before is lost.
package luck
