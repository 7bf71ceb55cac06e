package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types"
)

func frame(stream byte, payload string) string {
	head := []byte{stream, 0, 0, 0}
	return string(binary.BigEndian.AppendUint32(head, uint32(len(payload)))) + payload
}

// errBroken is a connection that breaks.
var errBroken = errors.New("broken")

func TestJoin(t *testing.T) {
	long := strings.Repeat("x", 3*bufferSize)
	full := strings.Repeat("x", bufferSize-headerSize)
	for name, c := range map[string]struct{ in, want string }{
		"nothing":                  {"", ""},
		"one":                      {frame(1, "a"), frame(1, "a")},
		"several":                  {frame(1, "a\n") + frame(1, "b\n") + frame(1, "c\n"), frame(1, "a\nb\nc\n")},
		"two streams":              {frame(1, "a") + frame(1, "b") + frame(2, "c") + frame(2, "d") + frame(1, "e"), frame(1, "ab") + frame(2, "cd") + frame(1, "e")},
		"empty ones":               {frame(1, "") + frame(1, "a") + frame(1, ""), frame(1, "a")},
		"errors stay":              {frame(3, "a") + frame(3, "b"), frame(3, "a") + frame(3, "b")},
		"unknown ones stay":        {frame(9, "a") + frame(9, "b"), frame(9, "a") + frame(9, "b")},
		"as long as the buffer":    {frame(1, full) + frame(1, "b"), frame(1, full) + frame(1, "b")},
		"longer than the buffer":   {frame(1, "a") + frame(1, long) + frame(1, "b") + frame(1, "c"), frame(1, "a") + frame(1, long) + frame(1, "bc")},
		"cut off in a header":      {frame(1, "a") + frame(1, "b")[:5], frame(1, "a") + frame(1, "b")[:5]},
		"cut off in a payload":     {frame(1, "a") + frame(1, "bc")[:9], frame(1, "a") + frame(1, "bc")[:9]},
		"longer than what is sent": {frame(1, long)[:bufferSize+9], frame(1, long)[:bufferSize+9]},
	} {
		t.Run(name, func(t *testing.T) {
			j := &joiner{src: io.NopCloser(strings.NewReader(c.in))}
			if got, err := io.ReadAll(j); err != nil || string(got) != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			// Whoever reads it sees no difference, however it comes.
			for _, cut := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
				j := &joiner{src: io.NopCloser(io.MultiReader(cut(strings.NewReader(c.in)), iotest.ErrReader(errBroken)))}
				got, err := io.ReadAll(iotest.HalfReader(j))
				if !errors.Is(err, errBroken) || !reflect.DeepEqual(split(got), split([]byte(c.in))) {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
}

// TestJoinKeepsNothingBack: a frame that has come is read though the next has not.
func TestJoinKeepsNothingBack(t *testing.T) {
	r, w := io.Pipe()
	j := &joiner{src: r}
	defer j.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(w, frame(1, "a\n")+frame(1, "b\n")[:9])
		sent <- err
	}()
	got := make([]byte, len(frame(1, "a\n")))
	if _, err := io.ReadFull(j, got); err != nil || string(got) != frame(1, "a\n") {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestJoinAnswers(t *testing.T) {
	for _, c := range []struct {
		status      int
		contentType string
		want        string
	}{
		{http.StatusOK, types.MediaTypeMultiplexedStream, frame(1, "ab")},
		{http.StatusOK, types.MediaTypeRawStream, frame(1, "a") + frame(1, "b")},
		{http.StatusSwitchingProtocols, types.MediaTypeMultiplexedStream, frame(1, "a") + frame(1, "b")},
	} {
		resp := &http.Response{
			StatusCode: c.status, Header: http.Header{"Content-Type": {c.contentType}},
			Body: io.NopCloser(strings.NewReader(frame(1, "a") + frame(1, "b"))),
		}
		Join(resp)
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != c.want {
			t.Errorf("%d %s: %q, %v", c.status, c.contentType, got, err)
		}
	}
}

// piece is what comes of one stream without one of another between.
type piece struct {
	stream byte
	text   string
	whole  bool // it ends where a frame ends
}

// split is what a reader of the stream p sees, without what its frames are.
func split(p []byte) (pieces []piece) {
	for len(p) >= headerSize {
		stream, size := p[0], int(binary.BigEndian.Uint32(p[lengthAt:]))
		text := p[headerSize:][:min(size, len(p)-headerSize)]
		if last := len(pieces) - 1; last >= 0 && isOutput(stream) && pieces[last].stream == stream {
			pieces[last].text += string(text)
			pieces[last].whole = len(text) == size
		} else {
			pieces = append(pieces, piece{stream, string(text), len(text) == size})
		}
		p = p[headerSize+len(text):]
	}
	return append(pieces, piece{text: string(p)})
}

// FuzzJoin: whatever comes, in pieces of n bytes, its reader sees the same.
func FuzzJoin(f *testing.F) {
	f.Add([]byte(frame(1, "a")+frame(1, "b")+frame(2, "c")+frame(3, "d")), 5)
	f.Add([]byte(frame(2, strings.Repeat("x", 100))+frame(2, "b")[:9]), 500)
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		j := &joiner{src: io.NopCloser(&pieces{in, max(1, n)}), buf: make([]byte, 64)}
		got, err := io.ReadAll(j)
		if err != nil || len(got) > len(in) || !reflect.DeepEqual(split(got), split(in)) {
			t.Fatalf("%q became %q, %v", in, got, err)
		}
	})
}

// pieces gives p in reads of n bytes at most.
type pieces struct {
	p []byte
	n int
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.n)], r.p)
	r.p = r.p[n:]
	return n, nil
}

// BenchmarkLogs reads 1 MiB of lines as docker/cli does.
func BenchmarkLogs(b *testing.B) {
	log := []byte(strings.Repeat(frame(1, strings.Repeat("x", 64)+"\n"), 1<<20/65))
	for name, open := range map[string]func(io.Reader) io.Reader{
		"joined":  func(r io.Reader) io.Reader { return &joiner{src: io.NopCloser(r)} },
		"as sent": func(r io.Reader) io.Reader { return r },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(1 << 20)
			for b.Loop() {
				if _, err := stdcopy.StdCopy(io.Discard, io.Discard, open(bytes.NewReader(log))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
