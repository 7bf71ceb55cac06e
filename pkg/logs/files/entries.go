package files

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"os"
)

// entryReader gives the complete entries of one file.
type entryReader struct {
	file       *os.File  // a plain file, read at offset at
	r          io.Reader // or a compressed one
	at         int64
	buf        []byte
	start, end int  // unread bytes of buf
	passing    bool // over an entry longer than MaxEntry
	format     Format
}

// newEntryReader reads l from l.from, or from its beginning when it is compressed.
func newEntryReader(l *logFile, f Format) (*entryReader, error) {
	r := &entryReader{file: l.File, at: l.from, buf: make([]byte, BlockSize), format: f}
	if !l.gz {
		return r, nil
	}
	if _, err := l.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(l.File, BlockSize))
	r.r = z
	return r, err
}

// next is the next entry, valid until the next call. io.EOF says that there is no
// complete one now; a plain file may have one later.
func (r *entryReader) next() ([]byte, error) {
	for {
		entry, n := r.format.Next(r.buf[r.start:r.end])
		r.start += n
		switch {
		case n == 0:
			if err := r.fill(); err != nil {
				return nil, err
			}
		case r.passing:
			r.passing = false
		case entry != nil:
			return entry, nil
		}
	}
}

// fill reads more behind the unread bytes.
func (r *entryReader) fill() error {
	r.end = copy(r.buf, r.buf[r.start:r.end])
	r.start = 0
	if r.end >= MaxEntry {
		r.passing, r.end = true, 0
	}
	if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	var n int
	var err error
	if r.r != nil {
		n, err = r.r.Read(r.buf[r.end:])
	} else {
		n, err = r.file.ReadAt(r.buf[r.end:], r.at)
		r.at += int64(n)
	}
	r.end += n
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) && r.r == nil {
		// The incomplete entry is read again: the writer may have cut it off,
		// and written another, by then.
		r.at -= int64(r.end)
		r.end = 0
	}
	return err
}

// reset begins anew when the file is shorter than what was read of it, because
// someone emptied it.
func (r *entryReader) reset() error {
	fi, err := r.file.Stat()
	if err == nil && r.r == nil && fi.Size() < r.at-int64(r.end-r.start) {
		r.at, r.start, r.end, r.passing = 0, 0, 0, false
	}
	return err
}
