package jsonfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
)

// maxLine bounds a line of a log file: 16 KiB in which each byte is escaped, and
// the attributes. Longer ones are damage and passed over.
const maxLine = 2 << 20

// blockSize is what is read at once.
const blockSize = 64 << 10

// lineReader gives the complete lines of one file.
type lineReader struct {
	file       *os.File  // a plain file, read at offset at
	r          io.Reader // or a compressed one
	at         int64
	buf        []byte
	start, end int  // unread bytes of buf
	passing    bool // over a line longer than maxLine
}

// newLineReader reads l from l.from, or from its beginning when it is compressed.
func newLineReader(l *logFile) (*lineReader, error) {
	r := &lineReader{file: l.File, at: l.from, buf: make([]byte, blockSize)}
	if !l.gz {
		return r, nil
	}
	if _, err := l.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(l.File, blockSize))
	r.r = z
	return r, err
}

// next is the next line without its newline, valid until the next call. io.EOF
// says that there is no complete line now; a plain file may have one later.
func (r *lineReader) next() ([]byte, error) {
	for from := r.start; ; {
		if i := bytes.IndexByte(r.buf[from:r.end], '\n'); i >= 0 {
			line := r.buf[r.start : from+i]
			r.start = from + i + 1
			if !r.passing {
				return line, nil
			}
			r.passing = false
			from = r.start
			continue
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
		from = r.start // of what moved; the part looked at before is short
	}
}

// fill reads more behind the unread bytes.
func (r *lineReader) fill() error {
	r.end = copy(r.buf, r.buf[r.start:r.end])
	r.start = 0
	if r.end >= maxLine {
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
		// The incomplete line is read again: the writer may have cut it off,
		// and written another, by then.
		r.at -= int64(r.end)
		r.end = 0
	}
	return err
}

// reset begins anew when the file is shorter than what was read of it, because
// someone emptied it.
func (r *lineReader) reset() error {
	fi, err := r.file.Stat()
	if err == nil && r.r == nil && fi.Size() < r.at-int64(r.end-r.start) {
		r.at, r.start, r.end, r.passing = 0, 0, 0, false
	}
	return err
}
