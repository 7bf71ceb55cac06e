package files

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// successors are the files that came after f, oldest first, or none when the
// writer has not made one yet, or makes them so fast that the next change is the
// time to look again. f was rotated away, perhaps compressed since, and perhaps
// several times overtaken; if it was deleted, all that is left came later.
func successors(path string, format Format, f *logFile) (fileSet, error) {
	set, err := openNewer(path, func(g *logFile) (bool, error) { return sameLog(format, f, g) })
	if errors.Is(err, errRotated) {
		set.close()
		return nil, nil
	}
	return set, err
}

// sameLog reports whether g is f, or what compressing f made. The first entry
// identifies the latter: it has a time in nanoseconds.
func sameLog(format Format, f, g *logFile) (bool, error) {
	if os.SameFile(f.info, g.info) {
		return true, nil
	}
	if f.gz || !g.gz {
		return false, nil
	}
	a, err := newEntryReader(&logFile{File: f.File}, format)
	if err != nil {
		return false, err
	}
	b, err := newEntryReader(g, format)
	if err != nil {
		return false, err
	}
	la, errA := a.next()
	lb, errB := b.next()
	if errors.Is(errA, io.EOF) || errors.Is(errB, io.EOF) {
		return false, nil
	}
	return bytes.Equal(la, lb), errors.Join(errA, errB)
}

// pollEvery is how often a log is looked at when the kernel has no inotify
// instance left (fs.inotify.max_user_instances, 128 by default).
const pollEvery = 250 * time.Millisecond

// watch tells of changes to the files of a log.
type watch struct {
	changed chan struct{} // holds one signal; several changes may share it
	stop    chan struct{}
	done    chan struct{}
	inotify *os.File // nil when polling
}

// newWatch watches the folder of the log at path, in which it is written, rotated
// and made, as one.
func newWatch(path string) (*watch, error) {
	w := &watch{changed: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		dir := filepath.Dir(path)
		if _, err = unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
			_ = unix.Close(fd)
		}
	}
	switch {
	case err == nil:
		w.inotify = os.NewFile(uintptr(fd), "inotify")
		go w.read(filepath.Base(path))
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOENT):
		go w.poll()
	default:
		return nil, err
	}
	return w, nil
}

func (w *watch) close() {
	close(w.stop)
	if w.inotify != nil {
		_ = w.inotify.Close()
	}
	<-w.done
}

func (w *watch) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// read signals each event of a file whose name begins with base.
func (w *watch) read(base string) {
	defer close(w.done)
	buf := make([]byte, 4096)
	for {
		n, err := w.inotify.Read(buf)
		if err != nil {
			return
		}
		// The names are not taken apart: an event that is not ours costs one
		// look at the log.
		if bytes.Contains(buf[:n], []byte(base)) || n == len(buf) {
			w.signal()
		}
	}
}

func (w *watch) poll() {
	defer close(w.done)
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-t.C:
			w.signal()
		}
	}
}
