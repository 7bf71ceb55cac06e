package build

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

func gzipped(t *testing.T, data []byte, piece int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := newGzipWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		part := data[:min(piece, len(data))]
		if n, err := w.Write(part); err != nil || n != len(part) {
			t.Fatalf("%d of %d bytes: %v", n, len(part), err)
		}
		data = data[len(part):]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// halfZeros are bytes of which gzip saves half.
func halfZeros(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{})
	for i := 0; i < n; i += 1000 {
		_, _ = source.Read(data[i:min(n, i+500)]) // does not fail
	}
	return data
}

// A layer's digest is that of the packed bytes: they must depend on nothing else.
func TestGzipDependsOnTheDataAlone(t *testing.T) {
	for _, n := range []int{0, 1, 1 << 20, 5<<20 + 7} {
		data := halfZeros(n)
		first := gzipped(t, data, 32<<10)
		before := runtime.GOMAXPROCS(1)
		single := gzipped(t, data, 12345)
		runtime.GOMAXPROCS(before)
		if !bytes.Equal(first, single) {
			t.Errorf("%d bytes: the number of processors or the writes' sizes matter", n)
		}
		in := bytes.NewReader(first)
		r, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false) // many readers stop after the first member
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) || in.Len() != 0 {
			t.Errorf("%d bytes come back as %d, %d follow: %v", n, len(got), in.Len(), err)
		}
		if n > 1<<20 && len(first) > n*55/100 {
			t.Errorf("%d bytes, half of them zeros, take %d", n, len(first))
		}
	}
}

var errFull = errors.New("the disk is full")

// full takes some bytes and then fails.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestGzipOfADestinationThatFails(t *testing.T) {
	data := halfZeros(4 << 20)
	size := len(gzipped(t, data, len(data)))
	for _, left := range []int{0, 9, 10, size / 2, size - 8, size - 1} {
		w, err := newGzipWriter(&full{left})
		if err != nil {
			t.Fatal(err)
		}
		_, werr := w.Write(data)
		if err := w.Close(); !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: write %v, close %v", left, werr, err)
		}
		if _, err := w.Write(data); !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: written to after the failure: %v", left, err)
		}
	}
}

func BenchmarkGzip(b *testing.B) {
	data := halfZeros(64 << 20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		w, err := newGzipWriter(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		_, err = w.Write(data)
		if err = errors.Join(err, w.Close()); err != nil {
			b.Fatal(err)
		}
	}
}
