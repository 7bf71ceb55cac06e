package decompress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/decompress/compressors"
)

func TestOpen(t *testing.T) {
	data := []byte(strings.Repeat("some text, ", 1<<16))
	for name, in := range map[string][]byte{
		"plain": data, "gzip": compressors.Pipe(t, data, "gzip"), "bzip2": compressors.Pipe(t, data, "bzip2"), "xz": compressors.Pipe(t, data, "xz"), "zstd": compressors.Pipe(t, data, "zstd"),
	} {
		r, err := Open(bytes.NewReader(in))
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
		in[len(in)/2] ^= 1
		if r, err = Open(bytes.NewReader(in)); err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if !errors.Is(err, ErrBroken) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, a bit flipped: %v", name, err)
		}
	}
	if r, err := Open(strings.NewReader("")); err != nil {
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
		r, err := Open(bytes.NewReader(in))
		if err != nil {
			if !errors.Is(err, ErrBroken) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
			return
		}
		defer r.Close()
		_, _ = io.CopyN(io.Discard, r, 64<<20)
	})
}
