package decompress

import (
	"io"

	"github.com/klauspost/compress/gzip"
)

// Stored gives r in gzip's format without making it smaller, for readers that
// recognise an archive by that: BuildKit takes a plain tar whose first entry has
// extended headers (PAX) for something else. Close ends the reading of r, and
// waits for it.
func Stored(r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	s := &stored{out, make(chan struct{})}
	go func() {
		defer close(s.done)
		z, err := gzip.NewWriterLevel(in, gzip.NoCompression)
		if err == nil {
			_, err = io.Copy(z, r)
		}
		if err == nil {
			err = z.Close()
		}
		in.CloseWithError(err)
	}()
	return s
}

type stored struct {
	*io.PipeReader
	done chan struct{}
}

func (s *stored) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}
