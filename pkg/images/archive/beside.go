package archive

import (
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
)

// queueLength is how many pieces of bufferSize the one of two readers of a stream may be
// ahead of the other.
const queueLength = 16

// side reads a copy of a stream in a goroutine of its own.
type side struct {
	full  chan []byte // pieces to be read; closed at the end
	empty chan []byte // their memory, to be used again
	err   error       // that the copy ends with; set before full is closed
	done  chan struct{}

	digest digest.Digest // of read, when done is closed
	failed error
	told   bool // the copy ended with failed
}

// beside lets read have what copy will copy. read need not read to the end.
func beside(read func(io.Reader) (digest.Digest, error)) *side {
	s := &side{full: make(chan []byte, queueLength), empty: make(chan []byte, queueLength), done: make(chan struct{})}
	go func() {
		s.digest, s.failed = read(&pieces{side: s})
		close(s.done)
	}()
	return s
}

// copy copies a stream to w, and returns when the other reader has ended.
func (s *side) copy(w io.Writer, r io.Reader) (digest.Digest, error) {
	_, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(s, w)}, struct{ io.Reader }{r}, make([]byte, bufferSize))
	if s.err = err; s.err == nil {
		s.err = io.EOF
	}
	close(s.full)
	<-s.done
	if err != nil && !s.told {
		return "", readError(err, false)
	}
	return s.digest, s.failed
}

func (s *side) Write(p []byte) (n int, err error) {
	for n < len(p) {
		var piece []byte
		select {
		case piece = <-s.empty:
		default:
			piece = make([]byte, bufferSize)
		}
		m := copy(piece[:bufferSize], p[n:])
		select {
		case s.full <- piece[:m]:
			n += m
		case <-s.done:
			s.told = s.failed != nil
			return len(p), s.failed // without an error it wants no more
		}
	}
	return n, nil
}

// pieces is the copy.
type pieces struct {
	side        *side
	piece, rest []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.piece != nil {
			select {
			case p.side.empty <- p.piece:
			default:
			}
			p.piece = nil
		}
		piece, ok := <-p.side.full
		if !ok {
			return 0, p.side.err
		}
		p.piece, p.rest = piece, piece
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// flushEvery is how many bytes of a blob are written before the disk begins to take them:
// the end of writing waits for it.
const flushEvery = 64 << 20

// flushed has the disk take a blob while the rest of it is written.
type flushed struct {
	content.Writer
	since int64
	busy  chan struct{} // closed when the disk has what it was given last; nil: nothing yet
}

func (f *flushed) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if f.since += int64(n); f.since < flushEvery || err != nil {
		return n, err
	}
	disk, ok := f.Writer.(content.Syncer)
	if !ok {
		return n, nil
	}
	if f.busy != nil {
		select {
		case <-f.busy:
		default:
			return n, nil // it has enough to do
		}
	}
	f.since, f.busy = 0, make(chan struct{})
	go func(done chan struct{}) {
		_ = disk.Sync() // Commit does it again, and tells
		close(done)
	}(f.busy)
	return n, nil
}

// wait returns when the blob is not flushed any more.
func (f *flushed) wait() {
	if f.busy != nil {
		<-f.busy
	}
}
