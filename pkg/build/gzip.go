package build

import (
	"context"
	"io"
	"sync"

	"github.com/klauspost/pgzip"
	"github.com/moby/buildkit/util/compression"
)

// gzipLevel takes a fifth of the time of zlib's default and makes layers a twentieth
// larger.
const gzipLevel = 4

// parallelGzip is BuildKit's gzip by all processors: its own is one goroutine of the
// standard library's, and what a build of much data spends most of its time with. The
// same input gives the same output whatever the number of processors: a layer's digest
// depends on it.
type parallelGzip struct{ compression.Type }

func (parallelGzip) Compress(context.Context, compression.Config) (compression.Compressor, compression.Finalizer) {
	return func(dst io.Writer, _ string) (io.WriteCloser, error) { return newGzipWriter(dst) }, nil
}

// quick has layers compressed by all processors, where BuildKit would have done it by
// one. Who asks for another compression or level gets that.
func quick(c compression.Config) (compression.Config, bool) {
	if c.Type != compression.Gzip || c.Level != nil {
		return c, false
	}
	c.Type = parallelGzip{compression.Gzip}
	return c, true
}

// gzipWriter must be closed, also after an error.
type gzipWriter struct {
	*pgzip.Writer
	dst *sticky
}

func newGzipWriter(dst io.Writer) (io.WriteCloser, error) {
	s := &sticky{w: dst}
	z, err := pgzip.NewWriterLevel(s, gzipLevel)
	return &gzipWriter{z, s}, err
}

func (g *gzipWriter) Write(p []byte) (int, error) {
	if err := g.dst.failed(); err != nil {
		return 0, err
	}
	return g.Writer.Write(p)
}

func (g *gzipWriter) Close() error {
	if err := g.Writer.Close(); err != nil {
		return err
	}
	return g.dst.failed()
}

// sticky keeps a destination's error to itself: pgzip, told of it, would leave its
// goroutine and buffers behind.
type sticky struct {
	w   io.Writer
	mu  sync.Mutex // guards err
	err error
}

func (s *sticky) Write(p []byte) (int, error) {
	if s.failed() == nil {
		_, err := s.w.Write(p)
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}
	return len(p), nil
}

func (s *sticky) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
