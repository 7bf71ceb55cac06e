// Package streams is what the engine and the shim say to each other about a
// process's standard streams: the URI that configures them, the handshake on the
// shim's socket, and the framing of what flows there. It guarantees nothing about
// when bytes arrive; the shim does that. Beware: after the handshake a connection
// carries raw bytes, so neither side may read it through a buffer before.
package streams
