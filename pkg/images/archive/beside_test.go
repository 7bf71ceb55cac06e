package archive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
)

// TestBeside: both readers get all of a stream, or its error, whichever of them is slow,
// stops early or fails.
func TestBeside(t *testing.T) {
	in := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // more than the queue holds
	broken, refused := errors.New("broken"), errors.New("refused")
	all := func(r io.Reader) (digest.Digest, error) { return digest.FromReader(r) }
	for name, c := range map[string]struct {
		r    io.Reader
		read func(io.Reader) (digest.Digest, error)
		want digest.Digest
		err  error
	}{
		"all":       {bytes.NewReader(in), all, digest.FromBytes(in), nil},
		"in halves": {iotest.HalfReader(bytes.NewReader(in)), all, digest.FromBytes(in), nil},
		"little": {bytes.NewReader(in), func(r io.Reader) (digest.Digest, error) {
			return digest.FromReader(io.LimitReader(r, 10))
		}, digest.FromBytes(in[:10]), nil},
		"refused":   {bytes.NewReader(in), func(io.Reader) (digest.Digest, error) { return "", refused }, "", refused},
		"broken":    {io.MultiReader(bytes.NewReader(in), iotest.ErrReader(broken)), all, "", broken},
		"empty":     {bytes.NewReader(nil), all, digest.FromBytes(nil), nil},
		"at a time": {io.LimitReader(bytes.NewReader(in), 3*bufferSize), all, digest.FromBytes(in[:3*bufferSize]), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			got, err := beside(c.read).copy(&out, c.r)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s, %v", got, err)
			}
			if err == nil && digest.FromBytes(out.Bytes()) != digest.FromBytes(in[:out.Len()]) || err == nil && name != "at a time" && name != "empty" && out.Len() != len(in) {
				t.Errorf("%d bytes came out", out.Len())
			}
		})
	}
	t.Run("full", func(t *testing.T) {
		if _, err := beside(all).copy(errWriter{broken}, bytes.NewReader(in)); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }
