package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// errCompressed marks what a decompressor complains of.
var errCompressed = errors.New("compressed stream is broken")

const bufferSize = 256 << 10

// Windows and memory of a zstd or xz stream are its writer's choice; 128 MiB is
// what zstd itself accepts without --long, and twice what xz -9 needs.
const maxWindow = 128 << 20

// format is what a stream is compressed by.
type format int

const (
	plain format = iota
	gzipped
	zstandard
	bzipped
	xzipped
)

// magics are the first bytes of compressed streams.
var magics = map[format]string{gzipped: "\x1f\x8b", zstandard: "\x28\xb5\x2f\xfd", bzipped: "BZh", xzipped: "\xfd7zXZ\x00"}

// sniff tells the format by the stream's first bytes.
func sniff(b *bufio.Reader) (format, error) {
	head, err := b.Peek(6)
	if err != nil && err != io.EOF {
		return plain, readError(err, false)
	}
	for f, magic := range magics {
		if bytes.HasPrefix(head, []byte(magic)) {
			return f, nil
		}
	}
	return plain, nil
}

// decompress returns the stream inside r, in this process: nothing is executed.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b, ok := r.(*bufio.Reader)
	if !ok {
		b = bufio.NewReaderSize(r, bufferSize)
	}
	f, err := sniff(b)
	if err != nil {
		return nil, nil, err
	}
	switch f {
	case gzipped:
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, invalid("invalid archive: %v", err)
		}
		return marked{z}, func() { z.Close() }, nil
	case zstandard:
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, invalid("invalid archive: %v", err)
		}
		return marked{z}, z.Close, nil
	case bzipped:
		return marked{bzip2.NewReader(b)}, func() {}, nil
	case xzipped:
		z, err := newXZ(b)
		if err != nil {
			return nil, nil, readError(err, false)
		}
		return marked{z}, func() {}, nil
	}
	return b, func() {}, nil
}

// marked tells errors of decompression from others.
type marked struct{ r io.Reader }

func (m marked) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", errCompressed, err)
	}
	return n, err
}
