package decompress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/decompress/compressors"
)

// openers are for streams that are waited for and for those that are not.
var openers = map[string]func(io.Reader) (io.ReadCloser, error){"Open": Open, "OpenFile": OpenFile}

func TestOpen(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) { opens(t, open) })
	}
}

func opens(t *testing.T, open func(io.Reader) (io.ReadCloser, error)) {
	t.Helper()
	data := []byte(strings.Repeat("some text, ", 1<<16))
	for name, in := range map[string][]byte{
		"plain": data, "gzip": compressors.Pipe(t, data, "gzip"), "bzip2": compressors.Pipe(t, data, "bzip2"), "xz": compressors.Pipe(t, data, "xz"), "zstd": compressors.Pipe(t, data, "zstd"),
	} {
		r, err := open(bytes.NewReader(in))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		r.Close()
		if name == "plain" {
			continue
		}
		if r, err = open(bytes.NewReader(in)); err != nil { // closed before it was read
			t.Errorf("%s: %v", name, err)
		} else {
			r.Close()
		}
		if r, err = open(bytes.NewReader(in[:len(in)-9])); err == nil { // cut in the middle
			_, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, ErrBroken) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, cut: %v", name, err)
		}
		in[len(in)/2] ^= 1
		if r, err = open(bytes.NewReader(in)); err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, ErrBroken) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, a bit flipped: %v", name, err)
		}
	}
	if r, err := open(strings.NewReader("")); err != nil {
		t.Errorf("empty: %v", err)
	} else if got, err := io.ReadAll(r); err != nil || len(got) > 0 {
		t.Errorf("empty: %q, %v", got, err)
	}
}

func FuzzOpen(f *testing.F) {
	data := []byte("some text")
	for _, in := range [][]byte{compressors.Pipe(f, data, "xz"), compressors.Pipe(f, data, "gzip"), compressors.Pipe(f, data, "bzip2"), compressors.Pipe(f, data, "zstd")} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, open := range openers {
			r, err := open(bytes.NewReader(in))
			if err != nil {
				if !errors.Is(err, ErrBroken) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Error(err)
				}
				continue
			}
			_, _ = io.CopyN(io.Discard, r, 64<<20)
			r.Close()
		}
	})
}
