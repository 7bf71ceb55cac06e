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

// Windows and memory of a zstd stream are its writer's choice; 128 MiB is what
// zstd itself accepts without --long.
const zstdMemory = 128 << 20

// decompress returns the tar stream inside r, in this process: nothing is
// executed.
func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(6)
	if err != nil && err != io.EOF {
		return nil, nil, fmt.Errorf("read archive: %w", err)
	}
	switch {
	case len(magic) == 0:
		return nil, nil, invalid("unrecognized image format")
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, invalid("invalid archive: %v", err)
		}
		return marked{z}, func() { z.Close() }, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(zstdMemory), zstd.WithDecoderMaxWindow(zstdMemory), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, invalid("invalid archive: %v", err)
		}
		return marked{z}, z.Close, nil
	case bytes.HasPrefix(magic, []byte("BZh")):
		return marked{bzip2.NewReader(b)}, func() {}, nil
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return nil, nil, invalid("invalid archive: xz is not supported, decompress it first")
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
