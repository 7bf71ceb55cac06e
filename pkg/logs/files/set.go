package files

import (
	"errors"
	"io"
	"os"
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

// errVanished is a rotation while the files were opened.
var errVanished = errors.New("the log was rotated")

// openSet opens all files of the log at path, oldest first, as they stood at one
// moment. The file that is written now is the last, if it exists.
func openSet(path string) (fileSet, error) {
	for try := 0; ; try++ {
		set, err := tryOpenSet(path)
		if !errors.Is(err, errVanished) {
			return set, err
		}
		// A writer that rotates faster than this opens files keeps next to
		// nothing; what was opened in the last try is as good as any.
		if try == 20 {
			return set, nil
		}
		set.close()
	}
}

// tryOpenSet opens from newest to oldest. Rotation moves from oldest to newest and
// moves the newest last, so if the newest is still in its place at the end, then
// at most older ones moved: those are met twice (known by inode) or not at all.
func tryOpenSet(path string) (set fileSet, err error) {
	defer func() {
		for i, j := 0, len(set)-1; i < j; i, j = i+1, j-1 {
			set[i], set[j] = set[j], set[i]
		}
		if err != nil && !errors.Is(err, errVanished) {
			set.close()
			set = nil
		}
	}()
	newest, err := openFile(path, false)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if newest != nil {
		set = append(set, newest)
	}
	older, err := list(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // not even the folder: nothing was ever logged
	} else if err != nil {
		return set, err
	}
	var vanished error
	for _, r := range older {
		f, err := openFile(r.path(path), r.gz)
		switch {
		case errors.Is(err, os.ErrNotExist):
			vanished = errVanished
		case err != nil:
			return set, err
		case os.SameFile(f.info, set.last()):
			_ = f.Close()
		default:
			set = append(set, f)
		}
	}
	if now, err := os.Stat(path); (err == nil) != (newest != nil) || err == nil && !os.SameFile(now, newest.info) {
		vanished = errVanished
	}
	return set, vanished
}

func (s fileSet) last() os.FileInfo {
	if len(s) == 0 {
		return nil
	}
	return s[len(s)-1].info
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
