// Package files keeps a log in files that are rotated as NAME, NAME.1, NAME.2 (.gz),
// in whatever Format. Each batch of entries is one write(2); nothing is fsynced. A
// log never has a torn entry in its middle: one that a kill or a full disk cut is
// cut off before the next. Writer and readers are different processes and meet only
// in the files; readers must expect rotation at any instant.
package files

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/pkg/logs/record"
)

// batchSize is how much is gathered before it is written, also without a Flush.
const batchSize = 32 << 10

// fileMode is Docker's.
const fileMode = 0o640

// Limits bound what a log may grow to.
type Limits struct {
	MaxSize  int64 // bytes a file; 0 = unbounded
	MaxFile  int   // files, the one being written included; at least 1
	Compress bool  // rotated files
}

// Writer writes one log. Only one process may have a log open for writing. It is
// for one goroutine.
type Writer struct {
	path   string
	limits Limits
	format Format

	file  *os.File // nil when it could not be opened again
	size  int64    // of file
	torn  bool     // file ends in a part of an entry
	stuck bool     // rotation failed since the last Flush
	lost  int      // entries dropped since the last that was written
	out   []byte   // entries not written yet
	ends  []int    // where each of them ends in out
	err   error    // of a batch that was written before Flush
	pack  packer
}

// Open opens the log at path for writing, and cuts off the entry that a killed
// writer left torn.
func Open(path string, f Format, l Limits) (*Writer, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("log path %q is not absolute: %w", path, errdefs.ErrInvalidArgument)
	}
	w := &Writer{path: path, limits: l, format: f}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

// open opens the file that is written now and looks at how it ends.
func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("log file %s is no regular file", w.path)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	w.file, w.size = f, fi.Size()
	if w.size > 0 {
		w.torn = true
		if err = w.mend(); err != nil {
			_ = f.Close()
			w.file = nil
		}
	}
	return err
}

// mend cuts off what follows the last complete entry.
func (w *Writer) mend() error {
	fi, err := w.file.Stat() // someone may have emptied it under us
	if err != nil {
		return err
	}
	size := fi.Size()
	end, err := w.format.End(w.file, size)
	if err == nil && end < size {
		err = w.file.Truncate(end)
	}
	if err != nil {
		return err
	}
	w.size, w.torn = end, false
	return nil
}

// Add takes an entry. When the file is full the ones before it are written and the
// file is rotated, as Docker does.
func (w *Writer) Add(m *record.Message) {
	full := w.limits.MaxSize > 0 && w.size+int64(len(w.out)) >= w.limits.MaxSize && !w.stuck
	if full || len(w.out) >= batchSize {
		w.flush()
	}
	if full {
		w.rotate()
	}
	w.out = w.format.Append(w.out, m)
	w.ends = append(w.ends, len(w.out))
}

// Flush writes what was added. An error says that entries were dropped; it comes
// once until writing works again.
func (w *Writer) Flush() error {
	w.stuck = false
	w.flush()
	err := w.err
	w.err = nil
	return err
}

// flush writes w.out in one write(2). What does not fit on the disk is dropped.
func (w *Writer) flush() {
	if len(w.out) == 0 {
		return
	}
	n, err := w.write()
	switch {
	case err != nil:
		w.err = errors.Join(w.err, w.drop(n, err))
	case w.lost > 0:
		slog.Warn("log is written again", "path", w.path, "dropped", w.lost)
		w.lost = 0
	}
	w.out, w.ends = w.out[:0], w.ends[:0]
	if cap(w.out) > 2*batchSize {
		w.out = nil // a shim lives for months
	}
}

func (w *Writer) write() (n int, err error) {
	if w.file == nil {
		if err := w.open(); err != nil {
			return 0, err
		}
	}
	if w.torn {
		if err := w.mend(); err != nil {
			return 0, err
		}
	}
	n, err = w.file.Write(w.out)
	w.size += int64(n)
	return n, err
}

// drop gives up what of w.out is not among its first n bytes, which stand in the
// file, cuts the torn entry off there, and reports the first loss of a row.
func (w *Writer) drop(n int, cause error) error {
	whole, kept := 0, 0
	for _, end := range w.ends {
		if end <= n {
			whole, kept = end, kept+1
		}
	}
	if cut := int64(n - whole); cut > 0 {
		// By its real size: someone may have emptied it under us.
		fi, err := w.file.Stat()
		if err == nil && fi.Size() >= cut {
			err = w.file.Truncate(fi.Size() - cut)
		}
		w.torn = err != nil
		if err == nil {
			w.size -= cut
		}
	}
	said := w.lost > 0
	w.lost += len(w.ends) - kept
	if said || errors.Is(cause, os.ErrClosed) {
		return nil
	}
	return fmt.Errorf("log entries are dropped until %s can be written: %w", w.path, cause)
}

// Close writes what was added and closes the file.
func (w *Writer) Close() error {
	err := w.Flush()
	w.pack.wait()
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
		w.file = nil
	}
	return err
}
