package decompress

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads the .xz container (https://tukaani.org/xz/xz-file-format.txt)
// around LZMA2, for the sake of a bound: the library's reader gives each block the
// dictionary that its header asks for, up to 4 GiB.
type xzReader struct {
	r      *countingReader
	newSum func() hash.Hash // of the stream's check; nil: none
	blocks uint64           // of the stream
	block  io.Reader        // nil between blocks
	start  int64            // where the block's data began
	sum    hash.Hash
}

type countingReader struct {
	r *bufio.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func newXZ(r *bufio.Reader) (*xzReader, error) {
	x := &xzReader{r: &countingReader{r: r}}
	if err := x.streamHeader(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, short(err))
	}
	return x, nil
}

func (x *xzReader) Read(p []byte) (int, error) {
	for {
		if x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			x.sum.Write(p[:n])
		}
		if errors.Is(err, io.EOF) {
			err = short(x.endBlock())
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next begins the next block, of the next stream if this one is over; io.EOF at
// the end of the last.
func (x *xzReader) next() error {
	for {
		size, err := x.r.ReadByte()
		if err != nil {
			return short(err)
		}
		if size != 0 {
			return short(x.blockHeader(size))
		}
		if err := x.index(); err != nil {
			return short(err)
		}
		if err := x.padding(); err != nil {
			return err
		}
		if err := x.streamHeader(); err != nil {
			return short(err)
		}
	}
}

func (x *xzReader) streamHeader() error {
	var head [12]byte
	if _, err := io.ReadFull(x.r, head[:]); err != nil {
		return err
	}
	if string(head[:6]) != magics[XZ] || head[6] != 0 || binary.LittleEndian.Uint32(head[8:]) != crc32.ChecksumIEEE(head[6:8]) {
		return errors.New("xz: broken stream header")
	}
	switch head[7] {
	case 0:
		x.newSum = nil
	case 1:
		x.newSum = func() hash.Hash { return crc32.NewIEEE() }
	case 4:
		x.newSum = func() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) }
	case 10:
		x.newSum = sha256.New
	default:
		return fmt.Errorf("xz: unknown check %d", head[7])
	}
	x.blocks, x.sum = 0, nil
	return nil
}

// blockHeader reads a header of (size+1)*4 bytes.
func (x *xzReader) blockHeader(size byte) error {
	head := make([]byte, (int(size)+1)*4)
	head[0] = size
	if _, err := io.ReadFull(x.r, head[1:]); err != nil {
		return err
	}
	body := head[:len(head)-4]
	if binary.LittleEndian.Uint32(head[len(body):]) != crc32.ChecksumIEEE(body) {
		return errors.New("xz: broken block header")
	}
	dict, err := dictionary(bytes.NewReader(body[2:]), body[1])
	if err != nil {
		return err
	}
	if dict > maxWindow {
		return fmt.Errorf("xz: a dictionary of %d bytes, the limit is %d", dict, maxWindow)
	}
	x.start = x.r.n // the decoder reads its first chunk at once
	if x.block, err = (lzma.Reader2Config{DictCap: int(max(dict, lzma.MinDictCap))}).NewReader2(x.r); err != nil {
		return err
	}
	if x.newSum != nil {
		x.sum = x.newSum()
	}
	x.blocks++
	return nil
}

// dictionary reads the sizes and the one filter of a block header.
func dictionary(r *bytes.Reader, flags byte) (int64, error) {
	if flags&0x3f != 0 {
		return 0, errors.New("xz: only LZMA2 without further filters is supported")
	}
	for _, sized := range []byte{0x40, 0x80} {
		if flags&sized != 0 {
			if _, err := binary.ReadUvarint(r); err != nil {
				return 0, err
			}
		}
	}
	var filter [3]byte
	if _, err := io.ReadFull(r, filter[:]); err != nil {
		return 0, err
	}
	if filter[0] != 0x21 || filter[1] != 1 {
		return 0, errors.New("xz: only LZMA2 without further filters is supported")
	}
	return lzma.DecodeDictCap(filter[2])
}

// endBlock reads padding and check.
func (x *xzReader) endBlock() error {
	x.block = nil
	if err := x.zeros(x.r.n - x.start); err != nil {
		return err
	}
	if x.sum == nil {
		return nil
	}
	want := x.sum.Sum(nil)
	if x.sum.Size() < sha256.Size { // CRCs are stored with their low byte first
		for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
			want[i], want[j] = want[j], want[i]
		}
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(x.r, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("xz: broken check of a block")
	}
	return nil
}

// zeros reads the padding that brings n to a multiple of four.
func (x *xzReader) zeros(n int64) error {
	for ; n%4 != 0; n++ {
		if b, err := x.r.ReadByte(); err != nil || b != 0 {
			return errors.Join(errors.New("xz: broken padding"), err)
		}
	}
	return nil
}

// index reads what comes after the blocks: their number and sizes, which are of
// use to those who seek, and the footer.
func (x *xzReader) index() error {
	start := x.r.n - 1
	n, err := binary.ReadUvarint(x.r)
	if err != nil {
		return err
	}
	if n != x.blocks {
		return errors.New("xz: broken index")
	}
	for range 2 * n {
		if _, err := binary.ReadUvarint(x.r); err != nil {
			return err
		}
	}
	if err := x.zeros(x.r.n - start); err != nil {
		return err
	}
	var tail [16]byte // checksum of the index, footer
	if _, err := io.ReadFull(x.r, tail[:]); err != nil {
		return err
	}
	if string(tail[14:]) != "YZ" {
		return errors.New("xz: broken footer")
	}
	return nil
}

// padding skips zeros between streams; io.EOF if there is no further stream.
func (x *xzReader) padding() error {
	for {
		head, err := x.r.r.Peek(4)
		if len(head) == 0 && err == io.EOF {
			return io.EOF
		}
		if len(head) < 4 {
			return short(err)
		}
		if !bytes.Equal(head, make([]byte, 4)) {
			return nil
		}
		if _, err := x.r.r.Discard(4); err != nil {
			return err
		}
	}
}

// short makes an end of the stream in the midst of it an error.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
