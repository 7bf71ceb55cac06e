package files

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"
)

// logFile is one file of a log, open for reading.
type logFile struct {
	*os.File
	info os.FileInfo // when it was opened
	gz   bool
	skip int   // entries to pass over, of a compressed file
	from int64 // offset to read from; 0 for a compressed file
}

func openFile(path string, gz bool) (*logFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &logFile{File: f, info: fi, gz: gz}, nil
}

type fileSet []*logFile

func (s fileSet) close() {
	for _, f := range s {
		_ = f.Close()
	}
}

// errRotated is a rotation while the files were opened.
var errRotated = errors.New("the log was rotated")

// openSet opens all files of the log at path, oldest first. The file that is
// written now is the last, if it exists. A writer that rotates faster than this
// opens its files keeps next to nothing; what the last try opened is then as good
// as any.
func openSet(path string) (fileSet, error) {
	all := func(*logFile) (bool, error) { return false, nil }
	set, err := openNewer(path, all)
	if errors.Is(err, errRotated) {
		err = nil
	}
	return set, err
}

// openNewer opens the files of the log at path that came after the one that seen
// knows, oldest first. With errRotated it returns what it has: some may be missing
// or twice.
func openNewer(path string, seen func(*logFile) (bool, error)) (fileSet, error) {
	for try := 0; ; try++ {
		set, err := scan(path, seen)
		slices.Reverse(set)
		switch {
		case errors.Is(err, errRotated) && try < 20:
			set.close()
		case err != nil && !errors.Is(err, errRotated):
			set.close()
			return nil, err
		default:
			return set, err
		}
	}
}

// scan opens from the newest file to older ones by their numbers. Rotation moves
// files the same way, the oldest first, so none slips by: one ahead of the scan moves
// further ahead at most. Reading the folder would not do, as a file that is renamed
// meanwhile may be left out. Only files newer than the first can come in between;
// the first is then no longer in its place.
func scan(path string, seen func(*logFile) (bool, error)) (set fileSet, err error) {
	newest, err := openFile(path, false)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	done := false
	if newest != nil {
		if set, done, err = set.add(newest, seen); err != nil {
			return set, err
		}
	}
	for n, missed := 1, 0; !done; n++ {
		f, err := openRotated(path, n)
		switch {
		case errors.Is(err, os.ErrNotExist):
			// One number is missing while the files are moved, and for good
			// where a kill ended that.
			if missed++; missed == 1 {
				continue
			}
			if done, err = noneAbove(path, n); err != nil {
				return set, err
			}
		case err != nil:
			return set, err
		default:
			missed = 0
			if set, done, err = set.add(f, seen); err != nil {
				return set, err
			}
		}
	}
	now, err := os.Stat(path)
	if (err == nil) != (newest != nil) || err == nil && !os.SameFile(now, newest.info) {
		return set, errRotated
	}
	return set, nil
}

// add takes f, unless it is the one added last, met again in its next place, or the
// one that seen knows, which ends the scan.
func (s fileSet) add(f *logFile, seen func(*logFile) (bool, error)) (_ fileSet, done bool, err error) {
	if len(s) > 0 && os.SameFile(f.info, s[len(s)-1].info) {
		return s, false, f.Close()
	}
	if done, err = seen(f); done || err != nil {
		return s, done, errors.Join(err, f.Close())
	}
	return append(s, f), false, nil
}

// openRotated opens the rotated file n, the compressed one if there is no other.
func openRotated(path string, n int) (*logFile, error) {
	f, err := openFile(rotated{n, false}.path(path), false)
	if errors.Is(err, os.ErrNotExist) {
		return openFile(rotated{n, true}.path(path), true)
	}
	return f, err
}

// noneAbove reports whether no rotated file has a number above n.
func noneAbove(path string, n int) (bool, error) {
	older, err := list(path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil // not even the folder: nothing was ever logged
	}
	return len(older) == 0 || older[len(older)-1].number <= n, err
}

// tail is the part of the set that the last n entries stand in; its first file
// knows where to begin. The others are closed.
func (s fileSet) tail(f Format, n int) (fileSet, error) {
	i := len(s)
	for i > 0 && n > 0 {
		i--
		found, err := s[i].tail(f, n)
		if err != nil {
			return s, err
		}
		n -= found
	}
	s[:i].close()
	return s[i:], nil
}

// tail makes the file be read from its last n entries on, and says how many of
// them it has.
func (l *logFile) tail(f Format, n int) (found int, err error) {
	if !l.gz {
		l.from, found, err = f.Tail(l.File, l.info.Size(), n)
		return found, err
	}
	r, err := newEntryReader(l, f)
	if err != nil {
		return 0, err
	}
	for {
		if _, err := r.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
		found++
	}
	l.skip = max(0, found-n)
	return min(found, n), nil
}

// since is the part of the set in which entries of since or later can stand. A file
// was last written when its last entry was made, or later.
func (s fileSet) since(f Format, since time.Time) (fileSet, error) {
	i := 0
	for i < len(s)-1 && s[i].info.ModTime().Before(since) {
		i++
	}
	s[:i].close()
	s = s[i:]
	seeker, ok := f.(Seeker)
	if !ok || len(s) == 0 || s[0].gz {
		return s, nil
	}
	off, err := seeker.Seek(s[0].File, s[0].from, s[0].info.Size(), since)
	s[0].from = off
	return s, err
}
