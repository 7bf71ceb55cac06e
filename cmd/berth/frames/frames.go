// Package frames joins the frames of Docker's multiplexed streams. An engine sends a
// log with a frame for each line, and docker/cli's reader of frames moves its whole
// buffer, 32 KiB, for each: that is most of the time that logs takes.
package frames

import (
	"encoding/binary"
	"io"
	"net/http"

	"github.com/moby/moby/api/types"

	"github.com/berth-engine/berth/pkg/streams"
)

const (
	headerSize = streams.HeaderSize // the stream, three zeros, and the payload's length, big-endian
	lengthAt   = 4

	// bufferSize is what moby's stdcopy reads at once.
	bufferSize = 32 << 10
)

// Join makes an answer that is a multiplexed stream one of fewer frames. It is a
// client.ResponseHook.
func Join(resp *http.Response) {
	if resp.StatusCode == http.StatusOK && resp.Header.Get("Content-Type") == types.MediaTypeMultiplexedStream {
		resp.Body = &joiner{src: resp.Body}
	}
}

// joiner makes neighbouring frames of one stream that it has read at once into one.
// It keeps nothing back that its reader could do something with: frames are no later
// than without it.
type joiner struct {
	src io.ReadCloser
	err error // of src, told when all is read

	buf   []byte
	ready []byte // of buf: joined frames that are not read yet
	rest  []byte // of buf, behind ready: the beginning of a frame
	long  int    // bytes of a frame longer than buf that are to come
}

func (j *joiner) Close() error { return j.src.Close() }

func (j *joiner) Read(p []byte) (int, error) {
	for len(j.ready) == 0 && j.err == nil && len(p) > 0 {
		if j.long > 0 {
			n, err := j.src.Read(p[:min(len(p), j.long)])
			j.long -= n
			return n, err
		}
		j.fill()
	}
	n := copy(p, j.ready)
	if j.ready = j.ready[n:]; n == 0 && len(p) > 0 {
		return 0, j.err
	}
	return n, nil
}

// fill reads once, and joins what is complete then.
func (j *joiner) fill() {
	if j.buf == nil {
		j.buf = make([]byte, bufferSize)
	}
	had := copy(j.buf, j.rest)
	n, err := j.src.Read(j.buf[had:])
	p := j.buf[:had+n]
	joined, used := join(p)
	j.ready, j.rest, j.err = p[:joined], p[used:], err
	switch frame := frameSize(j.rest); {
	case err != nil: // what was cut off is its reader's to judge
		j.ready, j.rest = append(j.ready, j.rest...), nil
	case frame > len(j.buf):
		j.long = frame - len(j.rest)
		j.ready, j.rest = append(j.ready, j.rest...), nil
	}
}

// join joins the complete frames that p begins with, in place. They were used bytes
// long, and are the first joined ones now.
func join(p []byte) (joined, used int) {
	last := -1 // where the last joined frame begins
	for {
		frame := frameSize(p[used:])
		if frame == 0 || frame > len(p)-used {
			return joined, used
		}
		next := p[used : used+frame]
		if last >= 0 && next[0] == p[last] && isOutput(next[0]) {
			length := p[last+lengthAt : last+headerSize]
			binary.BigEndian.PutUint32(length, binary.BigEndian.Uint32(length)+uint32(frame-headerSize)) //nolint:gosec // both are in p
			next = next[headerSize:]
		} else {
			last = joined
		}
		joined += copy(p[joined:], next)
		used += frame
	}
}

// frameSize is the length of the frame that p begins with, 0 when p does not say.
func frameSize(p []byte) int {
	if len(p) < headerSize {
		return 0
	}
	return headerSize + int(binary.BigEndian.Uint32(p[lengthAt:]))
}

// isOutput reports whether stream is one that is printed as it comes.
func isOutput(stream byte) bool {
	return stream == streams.Stdout || stream == streams.Stderr
}
