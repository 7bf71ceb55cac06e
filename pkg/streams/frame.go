package streams

import (
	"encoding/binary"
	"io"
)

// The streams of Docker's multiplexed framing. Each frame is the stream's number,
// three zero bytes, the payload's length as a big-endian uint32, and the payload.
// https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerAttach
const (
	Stdin  byte = 0
	Stdout byte = 1
	Stderr byte = 2
	// Systemerr carries an error of the engine in mid-stream; clients end with it.
	Systemerr byte = 3
)

// HeaderSize is the length of a frame's header in bytes.
const HeaderSize = 8

// maxPayload keeps the frame writer's buffer small; readers take any number of frames.
const maxPayload = 64 << 10

// PutHeader writes the header of a frame of n bytes to h, which holds HeaderSize bytes.
func PutHeader(h []byte, stream byte, n int) {
	h[0], h[1], h[2], h[3] = stream, 0, 0, 0
	binary.BigEndian.PutUint32(h[4:HeaderSize], uint32(n)) //nolint:gosec // callers bound n
}

// NewFrameWriter frames all that is written to it for w as stream. Each frame is
// one Write on w, so writers of several streams may share a w that is safe for
// concurrent use; the frame writer itself is for one goroutine.
func NewFrameWriter(w io.Writer, stream byte) io.Writer {
	return &frameWriter{w: w, stream: stream}
}

type frameWriter struct {
	w      io.Writer
	stream byte
	buf    []byte
}

func (f *frameWriter) Write(p []byte) (int, error) {
	var n int
	for n < len(p) {
		chunk := p[n:min(len(p), n+maxPayload)]
		if f.buf == nil {
			f.buf = make([]byte, HeaderSize, HeaderSize+len(chunk))
		}
		PutHeader(f.buf, f.stream, len(chunk))
		f.buf = append(f.buf[:HeaderSize], chunk...)
		if w, err := f.w.Write(f.buf); err != nil {
			return n + max(0, w-HeaderSize), err
		}
		n += len(chunk)
	}
	return n, nil
}
