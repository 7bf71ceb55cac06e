// Package local keeps a log in a compact binary form that is Berth's own, for logs
// that nothing else reads: the driver "local", and the cache of those logs that go
// elsewhere. See package files for rotation.
//
// An entry is
//
//	length  uint32, little-endian, of what stands between the two lengths
//	flags   1 byte: 1 stderr, 2 attributes
//	time    8 bytes, nanoseconds since 1970, little-endian
//	attributes, if flagged: their length as uvarint, then for each, sorted by
//	        name, name and value with their lengths as uvarint before them
//	text    with its newline, when it had one
//	length  uint32 again, so that files can be read backwards
package local

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/logs/files"
	"github.com/berth-engine/berth/pkg/logs/record"
)

// Open opens the log at path for writing. opts and attrs are Docker's log-opts and
// the attributes of each line.
func Open(path string, opts, attrs map[string]string) (*files.Writer, error) {
	l, err := parse(opts)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return files.Open(path, &format{attrs: appendAttrs(attrs)}, l)
}

// Read gives the entries of the log at path to each, as files.Read does.
func Read(ctx context.Context, path string, o record.ReadOptions, each func(*record.Message) error) error {
	return files.Read(ctx, path, &format{}, o, each)
}

const (
	lengthSize = 4
	headSize   = 1 + 8 // flags and time

	flagStderr = 1
	flagAttrs  = 2
)

// errDamage is an entry whose inside does not add up.
var errDamage = errors.New("damaged log entry")

// format implements files.Format.
type format struct {
	msg      record.Message
	attrs    []byte            // the writer's, or those that the reader met last
	attrsMap map[string]string // what they say
}

func (f *format) Append(dst []byte, m *record.Message) []byte {
	n := headSize + len(f.attrs) + len(m.Line)
	flags := byte(0)
	if m.Source == "stderr" {
		flags |= flagStderr
	}
	if len(f.attrs) > 0 {
		flags |= flagAttrs
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n)) //nolint:gosec // a line, and a message of containerd at most
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Time.UnixNano())) //nolint:gosec // back in Decode
	dst = append(append(dst, f.attrs...), m.Line...)
	return binary.LittleEndian.AppendUint32(dst, uint32(n)) //nolint:gosec // as above
}

// length is that of an entry's inside, if it can be one.
func length(p []byte) (int, bool) {
	n := binary.LittleEndian.Uint32(p)
	return int(n), n >= headSize && n <= files.MaxEntry
}

// Next passes over damage to where an entry seems to begin.
func (f *format) Next(p []byte) ([]byte, int) {
	entry, n := next(p)
	if n >= 0 {
		return entry, n
	}
	for i := 1; i < len(p); i++ {
		if entry, _ := next(p[i:]); entry != nil {
			return nil, i
		}
	}
	return nil, len(p)
}

// next is the entry that p begins with; n is 0 when it is not complete and -1 when
// there is none.
func next(p []byte) (entry []byte, n int) {
	if len(p) < lengthSize {
		return nil, 0
	}
	inside, ok := length(p)
	whole := inside + 2*lengthSize
	switch {
	case !ok:
		return nil, -1
	case len(p) < whole:
		return nil, 0
	}
	if again, _ := length(p[whole-lengthSize:]); again != inside {
		return nil, -1
	}
	return p[lengthSize : whole-lengthSize], whole
}

func (f *format) Decode(p []byte) (*record.Message, error) {
	if len(p) < headSize || p[0]&^(flagStderr|flagAttrs) != 0 {
		return nil, errDamage
	}
	m := &f.msg
	m.Source, m.Attrs = "stdout", nil
	if p[0]&flagStderr != 0 {
		m.Source = "stderr"
	}
	m.Time = time.Unix(0, int64(binary.LittleEndian.Uint64(p[1:]))).UTC() //nolint:gosec // as Append wrote it
	m.Line = p[headSize:]
	if p[0]&flagAttrs == 0 {
		return m, nil
	}
	inside, rest, ok := cut(m.Line)
	if !ok {
		return nil, errDamage
	}
	if attrs := m.Line[:len(m.Line)-len(rest)]; f.attrsMap == nil || string(attrs) != string(f.attrs) {
		if f.attrsMap, ok = decodeAttrs(inside); !ok {
			return nil, errDamage
		}
		f.attrs = append(f.attrs[:0], attrs...)
	}
	m.Attrs, m.Line = f.attrsMap, rest
	return m, nil
}

// Tail goes backwards from entry to entry.
func (f *format) Tail(r io.ReaderAt, size int64, n int) (off int64, found int, err error) {
	if off, err = f.End(r, size); err != nil {
		return 0, 0, err
	}
	b := &backward{r: r}
	for ; found < n && off >= headSize+2*lengthSize; found++ {
		p, err := b.before(off, lengthSize)
		if err != nil {
			return 0, 0, err
		}
		inside, ok := length(p)
		if !ok || off < int64(inside+2*lengthSize) {
			break
		}
		off -= int64(inside + 2*lengthSize)
	}
	return off, found, nil
}

// End looks at the last length. When that is none, which a kill or a loss of power
// can leave, the file is read from its beginning.
func (f *format) End(r io.ReaderAt, size int64) (int64, error) {
	var p [lengthSize]byte
	if size >= headSize+2*lengthSize {
		if _, err := r.ReadAt(p[:], size-lengthSize); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if n, ok := length(p[:]); ok && int64(n) <= size-2*lengthSize {
			if _, err := r.ReadAt(p[:], size-int64(n)-2*lengthSize); err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			if first, _ := length(p[:]); first == n {
				return size, nil
			}
		}
	}
	return f.scan(r, size)
}

func (f *format) scan(r io.ReaderAt, size int64) (end int64, err error) {
	buf := make([]byte, files.BlockSize)
	for {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-end)], end)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		good := 0
		for {
			entry, n := f.Next(buf[good:n])
			if entry == nil {
				break
			}
			good += n
		}
		end += int64(good)
		switch {
		case good > 0:
		case n == len(buf) && n < files.MaxEntry+2*lengthSize: // perhaps longer than the buffer
			buf = make([]byte, 2*len(buf))
		default:
			return end, nil
		}
	}
}

// backward reads a file from its end in blocks.
type backward struct {
	r     io.ReaderAt
	block [files.BlockSize]byte
	start int64 // of what block holds
	n     int
}

// before is the n bytes that end at off.
func (b *backward) before(off int64, n int) ([]byte, error) {
	if off > b.start+int64(b.n) || off-int64(n) < b.start || b.n == 0 {
		b.start = max(0, off-files.BlockSize)
		got, err := b.r.ReadAt(b.block[:off-b.start], b.start)
		if err != nil {
			return nil, fmt.Errorf("log was changed while it was read: %w", err)
		}
		b.n = got
	}
	end := off - b.start
	return b.block[end-int64(n) : end], nil
}

// appendAttrs is m as it stands in an entry, nothing when it is empty.
func appendAttrs(m map[string]string) []byte {
	var inside []byte
	for _, k := range slices.Sorted(maps.Keys(m)) {
		for _, s := range [...]string{k, m[k]} {
			inside = binary.AppendUvarint(inside, uint64(len(s)))
			inside = append(inside, s...)
		}
	}
	if inside == nil {
		return nil
	}
	return append(binary.AppendUvarint(nil, uint64(len(inside))), inside...)
}

func decodeAttrs(p []byte) (map[string]string, bool) {
	m := map[string]string{}
	for len(p) > 0 {
		k, rest, ok := cut(p)
		if !ok {
			return nil, false
		}
		v, rest, ok := cut(rest)
		if !ok {
			return nil, false
		}
		m[string(k)], p = string(v), rest
	}
	return m, true
}

// cut takes a string with its length before it.
func cut(p []byte) (s, rest []byte, ok bool) {
	n, size := binary.Uvarint(p)
	if size <= 0 || n > uint64(len(p)-size) {
		return nil, nil, false
	}
	p = p[size:]
	return p[:n], p[n:], true
}
