package decompress

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func piped(t testing.TB, data []byte, command ...string) []byte {
	t.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Stdin = bytes.NewReader(data)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func zstds(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func TestOpen(t *testing.T) {
	data := []byte(strings.Repeat("some text, ", 1<<16))
	for name, in := range map[string][]byte{
		"plain": data, "gzip": piped(t, data, "gzip"), "bzip2": piped(t, data, "bzip2"), "xz": piped(t, data, "xz"), "zstd": zstds(t, data),
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
	for _, in := range [][]byte{piped(f, data, "xz"), piped(f, data, "gzip"), piped(f, data, "bzip2"), zstds(f, data)} {
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
