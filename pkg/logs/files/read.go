package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/berth-engine/berth/pkg/logs/record"
)

// errUntil ends a reading at an entry later than asked for.
var errUntil = errors.New("past the end of the range")

// Read gives the entries of the log at path to each, oldest first, rotated files
// included. What is no entry is passed over. It returns the error of each when
// that ends it, and ctx's when that does. A log without files is empty. The
// message is valid until each returns.
func Read(ctx context.Context, path string, f Format, o record.ReadOptions, each func(*record.Message) error) error {
	r := &reader{ctx: ctx, path: path, format: f, o: o, each: each}
	err := r.read()
	if errors.Is(err, errUntil) {
		return nil
	}
	return err
}

type reader struct {
	ctx    context.Context
	path   string
	o      record.ReadOptions
	each   func(*record.Message) error
	format Format
}

func (r *reader) read() error {
	var w *watch
	if r.o.Follow {
		var err error
		// Watched before the first look, so that no change falls between.
		if w, err = newWatch(r.path); err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		defer w.close()
	}
	set, err := openSet(r.path)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer func() { set.close() }()
	if r.o.Tail >= 0 {
		if set, err = set.tail(r.format, r.o.Tail); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
	if !r.o.Since.IsZero() {
		if set, err = set.since(r.format, r.o.Since); err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
	if !r.o.Follow {
		return r.all(set)
	}
	// Tail may have kept no file at all. What is written later comes after the
	// newest one, so that is where following begins.
	if r.o.Tail == 0 {
		if set, err = r.atEnd(); err != nil {
			return err
		}
	}
	set, err = r.follow(set, w)
	return err
}

// atEnd is the set of the file that is written now, to be read from its end on.
func (r *reader) atEnd() (fileSet, error) {
	set, err := openSet(r.path)
	if err != nil || len(set) == 0 {
		return nil, err
	}
	set[:len(set)-1].close()
	set = set[len(set)-1:]
	_, err = set[0].tail(r.format, 0)
	return set, err
}

func (r *reader) all(set fileSet) error {
	for _, f := range set {
		er, err := newEntryReader(f, r.format)
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if err := r.entries(f, er); err != nil {
			return err
		}
	}
	return nil
}

// entries delivers what er has now.
func (r *reader) entries(f *logFile, er *entryReader) error {
	for n := 0; ; n++ {
		if n%256 == 0 && r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		entry, err := er.next()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("read log: %w", err)
		}
		if f.skip > 0 {
			f.skip--
			continue
		}
		msg, err := r.format.Decode(entry)
		if err != nil {
			continue // torn, or written by someone else
		}
		if err := r.deliver(msg); err != nil {
			return err
		}
	}
}

func (r *reader) deliver(m *record.Message) error {
	if !r.o.Since.IsZero() && m.Time.Before(r.o.Since) {
		return nil
	}
	if !r.o.Until.IsZero() && m.Time.After(r.o.Until) {
		return errUntil
	}
	if !r.o.Wants(m.Source) {
		return nil
	}
	return r.each(m)
}

// follow delivers set, and then what is written to the log until Done, Until or
// the end of ctx. It returns the files that are still open.
func (r *reader) follow(set fileSet, w *watch) (fileSet, error) {
	until := r.clock()
	defer until.Stop()
	var er *entryReader
	for last := false; ; {
		var err error
		if set, er, err = r.catchUp(set, er); err != nil || last {
			return set, err
		}
		if r.o.CaughtUp != nil {
			if err := r.o.CaughtUp(); err != nil {
				return set, err
			}
		}
		select {
		case <-r.ctx.Done():
			return set, r.ctx.Err()
		case <-r.o.Done:
			last = true
		case <-until.C:
			last = true
		case <-w.changed:
		}
	}
}

// clock fires when nothing that is written from now on is asked for.
func (r *reader) clock() *time.Timer {
	if r.o.Until.IsZero() {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTimer(time.Until(r.o.Until))
}

// catchUp delivers all that the log has now. set are the files not yet delivered
// in full and er the position in the first of them, nil for its beginning; it
// returns the same for what comes next.
func (r *reader) catchUp(set fileSet, er *entryReader) (fileSet, *entryReader, error) {
	for {
		if len(set) == 0 {
			var err error
			if set, err = openSet(r.path); err != nil || len(set) == 0 {
				return set, nil, err
			}
		}
		f := set[0]
		if er == nil {
			var err error
			if er, err = newEntryReader(f, r.format); err != nil {
				return set, nil, err
			}
		} else if err := er.reset(); err != nil {
			return set, er, err
		}
		// Looked up before the file is read: when it is in its place no longer,
		// the writer has ended it, and it is read to its end now.
		current := f.isAt(r.path)
		if err := r.entries(f, er); err != nil {
			return set, er, err
		}
		if current {
			return set, er, nil
		}
		if len(set) == 1 {
			next, err := successors(r.path, r.format, f)
			if err != nil || next == nil {
				return set, er, err
			}
			set = append(set, next...)
		}
		_ = f.Close()
		set, er = set[1:], nil
	}
}

// isAt reports whether f is the file that the log is written to now.
func (l *logFile) isAt(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && os.SameFile(fi, l.info)
}
