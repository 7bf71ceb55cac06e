// Package jsonfile keeps a log in the files of Docker's json-file driver: one JSON
// object a line, rotated as NAME, NAME.1, NAME.2 (.gz), so that whatever reads
// Docker's reads ours. Entries end at a newline or, as Docker's do, after 16 KiB.
// Each batch of entries is one write(2); nothing is fsynced. A log never has a torn
// entry in its middle: one that a kill or a full disk cut is ended or cut off
// before the next. Writer and readers are different processes and meet only in
// the files; readers must expect rotation at any instant.
package jsonfile

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// maxEntry is where Docker splits longer lines, in bytes of what the container wrote.
const maxEntry = 16 << 10

// fileMode is Docker's.
const fileMode = 0o640

// Driver writes one log. Only one process may have a log open for writing.
type Driver struct {
	path  string
	opts  options
	attrs []byte // JSON of the extra attributes

	mu      sync.Mutex // guards all below and the files
	file    *os.File   // nil when it could not be opened again
	size    int64      // of file
	torn    bool       // file ends in a part of an entry
	stuck   bool       // rotation failed since the last Write began
	lost    int        // entries dropped since the last that was written
	out     []byte     // entries not written yet
	ends    []int      // where each of them ends in out
	tail    []byte     // what all entries of the present Write end in
	sources [2]source
	pack    packer
}

// source is what one of the container's streams has unfinished.
type source struct {
	name    string
	rest    []byte    // less than maxEntry bytes without a newline
	first   time.Time // of a line that was split: its parts share it
	partial bool
}

// Open opens the log at path for writing, and ends the entry that a killed writer
// left torn. opts and attrs are Docker's log-opts and the attributes of each line.
func Open(path string, opts, attrs map[string]string) (*Driver, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("log path %q is not absolute: %w", path, errdefs.ErrInvalidArgument)
	}
	o, err := parse(opts)
	if err != nil {
		return nil, err
	}
	a, err := attributes(attrs)
	if err != nil {
		return nil, err
	}
	d := &Driver{path: path, opts: o, attrs: a}
	d.sources[0].name, d.sources[1].name = "stdout", "stderr"
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

// open opens the file that is written now and looks at how it ends.
func (d *Driver) open() error {
	f, err := os.OpenFile(d.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("log file %s is no regular file", d.path)
	}
	var last [1]byte
	if err == nil && fi.Size() > 0 {
		_, err = f.ReadAt(last[:], fi.Size()-1)
		d.torn = last[0] != '\n'
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	d.file, d.size = f, fi.Size()
	return nil
}

// Write adds what the container wrote to source ("stderr", else stdout) at t. An
// error says that entries were dropped; it comes once until writing works again.
func (d *Driver) Write(name string, t time.Time, p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.sources[0]
	if name == "stderr" {
		s = &d.sources[1]
	}
	d.stuck = false
	d.tail = appendTail(d.tail[:0], s.name, d.attrs, t)
	for len(p) > 0 {
		room := p[:min(len(p), maxEntry-len(s.rest))]
		if i := bytes.IndexByte(room, '\n'); i >= 0 {
			d.entryLocked(s, p[:i], true, t)
			p = p[i+1:]
			continue
		}
		if len(room)+len(s.rest) < maxEntry {
			s.rest = append(s.rest, p...)
			break
		}
		d.entryLocked(s, room, false, t)
		p = p[len(room):]
	}
	return d.flushLocked()
}

// entryLocked adds the entry that s.rest and p make. When the file is full the
// ones before it are written and the file is rotated, as Docker does.
func (d *Driver) entryLocked(s *source, p []byte, newline bool, t time.Time) {
	if len(s.rest) > 0 {
		s.rest = append(s.rest, p...)
		p = s.rest
	}
	tail := d.tail
	if s.partial {
		tail = appendTail(nil, s.name, d.attrs, s.first)
	} else if !newline {
		s.first = t
	}
	s.partial = !newline
	if d.opts.maxSize > 0 && d.size+int64(len(d.out)) >= d.opts.maxSize && !d.stuck {
		if err := d.flushLocked(); err != nil {
			slog.Error("log entries dropped", "path", d.path, "error", err)
		}
		d.rotateLocked()
	}
	d.out = appendEntry(d.out, p, newline, tail)
	d.ends = append(d.ends, len(d.out))
	if s.rest = s.rest[:0]; cap(s.rest) > 4<<10 {
		s.rest = nil // long lines are rare, and a shim lives for months
	}
}

// flushLocked writes d.out in one write(2). What does not fit on the disk is dropped.
func (d *Driver) flushLocked() error {
	if len(d.out) == 0 {
		return nil
	}
	defer d.resetLocked()
	if d.file == nil {
		if err := d.open(); err != nil {
			return d.dropLocked(0, err)
		}
	}
	if d.torn { // ends it; readers pass over what is no entry
		if _, err := d.file.Write([]byte{'\n'}); err != nil {
			return d.dropLocked(0, err)
		}
		d.size++
		d.torn = false
	}
	n, err := d.file.Write(d.out)
	d.size += int64(n)
	if err == nil {
		if d.lost > 0 {
			slog.Warn("log is written again", "path", d.path, "dropped", d.lost)
			d.lost = 0
		}
		return nil
	}
	return d.dropLocked(n, err)
}

// dropLocked gives up what of d.out is not among its first n bytes, which stand in
// the file, cuts the torn entry off there, and reports the first loss of a row.
func (d *Driver) dropLocked(n int, cause error) error {
	whole, kept := 0, 0
	for _, end := range d.ends {
		if end <= n {
			whole, kept = end, kept+1
		}
	}
	if cut := int64(n - whole); cut > 0 {
		// By its real size: someone may have emptied it under us.
		fi, err := d.file.Stat()
		if err == nil && fi.Size() >= cut {
			err = d.file.Truncate(fi.Size() - cut)
		}
		d.torn = err != nil
		if err == nil {
			d.size -= cut
		}
	}
	said := d.lost > 0
	d.lost += len(d.ends) - kept
	if said || errors.Is(cause, os.ErrClosed) {
		return nil
	}
	return fmt.Errorf("log entries are dropped until %s can be written: %w", d.path, cause)
}

func (d *Driver) resetLocked() {
	d.out, d.ends = d.out[:0], d.ends[:0]
	if cap(d.out) > 64<<10 {
		d.out = nil
	}
}

// Close writes the lines that have no newline yet and closes the file.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for i := range d.sources {
		if s := &d.sources[i]; len(s.rest) > 0 {
			rest := s.rest
			s.rest = nil
			d.tail = appendTail(d.tail[:0], s.name, d.attrs, now)
			d.entryLocked(s, rest, false, now)
		}
	}
	err := d.flushLocked()
	d.pack.wait()
	if d.file != nil {
		err = errors.Join(err, d.file.Close())
		d.file = nil
	}
	return err
}
