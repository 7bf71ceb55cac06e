// Package jsonfile keeps a log in the files of Docker's json-file driver: one JSON
// object a line, so that whatever reads Docker's reads ours (see package files for
// rotation).
package jsonfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
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
	f := &format{}
	if len(attrs) > 0 {
		if f.attrs, err = json.Marshal(attrs); err != nil {
			return nil, err
		}
	}
	return files.Open(path, f, l)
}

// Read gives the entries of the log at path to each, as files.Read does.
func Read(ctx context.Context, path string, o record.ReadOptions, each func(*record.Message) error) error {
	return files.Read(ctx, path, &format{}, o, each)
}

// format implements files.Format and files.Seeker.
type format struct {
	decoder

	// Of the writer: what all entries of one write end in.
	attrs  []byte // JSON of the extra attributes
	tail   []byte
	source string
	time   time.Time
}

func (f *format) Append(dst []byte, m *record.Message) []byte {
	if len(f.tail) == 0 || m.Source != f.source || m.Time != f.time {
		f.source, f.time = m.Source, m.Time
		f.tail = appendTail(f.tail[:0], m.Source, f.attrs, m.Time)
	}
	return appendEntry(dst, m.Line, f.tail)
}

func (f *format) Next(p []byte) ([]byte, int) {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		return nil, 0
	}
	return p[:i], i + 1
}

func (f *format) Decode(line []byte) (*record.Message, error) { return f.decode(line) }

// Tail reads backwards; a last line without newline is no line.
func (f *format) Tail(r io.ReaderAt, size int64, n int) (off int64, found int, err error) {
	buf := make([]byte, files.BlockSize)
	ends := -1 // newlines met; the first one ends the last line
	for end := size; end > 0; {
		start := max(0, end-files.BlockSize)
		b := buf[:end-start]
		if _, err := r.ReadAt(b, start); errors.Is(err, io.EOF) { // it was emptied under us
			return 0, 0, nil
		} else if err != nil {
			return 0, 0, err
		}
		for i := bytes.LastIndexByte(b, '\n'); i >= 0; i = bytes.LastIndexByte(b[:i], '\n') {
			if ends++; ends == n {
				return start + int64(i) + 1, n, nil
			}
		}
		end = start
	}
	return 0, ends + 1, nil
}

// End is where the last line ends.
func (f *format) End(r io.ReaderAt, size int64) (int64, error) {
	off, _, err := f.Tail(r, size, 0)
	return off, err
}

// Seek halves the range until what is left is quicker read than halved again. What
// it cannot read it takes for old, as Read passes over it.
func (f *format) Seek(r io.ReaderAt, from, size int64, since time.Time) (int64, error) {
	// Entries of the two outputs may stand in the wrong order by the time that a
	// write takes.
	since = since.Add(-time.Second)
	var buf []byte
	for size-from > 2*files.BlockSize {
		if buf == nil {
			buf = make([]byte, files.BlockSize)
		}
		middle := from + (size-from)/2
		n, err := r.ReadAt(buf, middle)
		if err != nil && !errors.Is(err, io.EOF) {
			return from, err
		}
		start, m := f.first(buf[:n])
		switch {
		case m == nil:
			return from, nil // a line longer than a block, or damage: left to be read
		case m.Time.Before(since):
			from = middle + int64(start)
		default:
			size = middle
		}
	}
	return from, nil
}

// first is the first line that begins after a newline of p and can be decoded, and
// where it begins.
func (f *format) first(p []byte) (int, *record.Message) {
	at := 0
	for whole := false; ; whole = true {
		line, n := f.Next(p[at:])
		if n == 0 {
			return 0, nil
		}
		if m, err := f.decode(line); whole && err == nil {
			return at, m
		}
		at += n
	}
}
