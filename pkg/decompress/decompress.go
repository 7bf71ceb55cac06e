// Package decompress opens compressed streams of strangers, in this process: no
// program is executed, least of all one that is found in a container
// (CVE-2019-14271, CVE-2026-41567). Memory is bounded whatever a stream asks for.
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
)

// ErrBroken marks what a decompressor complains of.
var ErrBroken = errors.New("compressed stream is broken")

const bufferSize = 256 << 10

// Windows and memory of a zstd or xz stream are its writer's choice; 128 MiB is
// what zstd itself accepts without --long, and twice what xz -9 needs.
const maxWindow = 128 << 20

// Format is what a stream is compressed by.
type Format int

// The formats.
const (
	Plain Format = iota
	Gzip
	Zstd
	Bzip2
	XZ
)

// magics are the first bytes of compressed streams.
var magics = map[Format]string{Gzip: "\x1f\x8b", Zstd: "\x28\xb5\x2f\xfd", Bzip2: "BZh", XZ: "\xfd7zXZ\x00"}

// Sniff tells the format by the stream's first bytes. Errors are those of reading.
func Sniff(b *bufio.Reader) (Format, error) {
	head, err := b.Peek(6)
	if err != nil && err != io.EOF {
		return Plain, err
	}
	for f, magic := range magics {
		if bytes.HasPrefix(head, []byte(magic)) {
			return f, nil
		}
	}
	return Plain, nil
}

// Open returns the stream inside r. Its errors are those of reading r, and ErrBroken.
func Open(r io.Reader) (io.ReadCloser, error) {
	return open(r, func(b *bufio.Reader) (io.ReadCloser, error) { return gzip.NewReader(b) })
}

// What OpenFile has decompressed in advance: blocks of so many bytes.
const aheadSize, ahead = 256 << 10, 4

// OpenFile is Open for what need not be waited for, as files: gzip is decompressed in
// advance, by another processor than that of who reads. Close waits for a Read of r.
func OpenFile(r io.Reader) (io.ReadCloser, error) {
	return open(r, func(b *bufio.Reader) (io.ReadCloser, error) { return pgzip.NewReaderN(b, aheadSize, ahead) })
}

func open(r io.Reader, gunzip func(*bufio.Reader) (io.ReadCloser, error)) (io.ReadCloser, error) {
	b, ok := r.(*bufio.Reader)
	if !ok {
		b = bufio.NewReaderSize(r, bufferSize)
	}
	f, err := Sniff(b)
	if err != nil {
		return nil, err
	}
	switch f {
	case Gzip:
		z, err := gunzip(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBroken, err)
		}
		return marked{z, func() { z.Close() }}, nil
	case Zstd:
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBroken, err)
		}
		return marked{z, z.Close}, nil
	case Bzip2:
		return marked{bzip2.NewReader(b), func() {}}, nil
	case XZ:
		z, err := newXZ(b)
		if err != nil {
			return nil, err
		}
		return marked{z, func() {}}, nil
	}
	return io.NopCloser(b), nil
}

// marked tells errors of decompression from others.
type marked struct {
	r     io.Reader
	close func()
}

func (m marked) Close() error {
	m.close()
	return nil
}

func (m marked) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return n, err
}
