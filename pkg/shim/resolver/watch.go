package resolver

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watch waits for a file to be replaced.
type watch struct {
	*os.File
	path  string
	armed bool
}

func newWatch(path string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("names: inotify: %w", err)
	}
	return &watch{File: os.NewFile(uintptr(fd), "inotify"), path: path}, nil
}

// next returns true at once the first time, and then whenever the file may have
// been replaced since; false when there is none any more or the watch is closed.
func (w *watch) next() bool {
	var event [unix.SizeofInotifyEvent + unix.NAME_MAX + 1]byte
	if w.armed {
		if _, err := w.Read(event[:]); err != nil {
			return false
		}
	}
	w.armed = true
	raw, err := w.SyscallConn()
	if err != nil {
		return false
	}
	var added error
	err = raw.Control(func(fd uintptr) {
		// A rename over the file takes a link off it, which is an attribute.
		_, added = unix.InotifyAddWatch(int(fd), w.path, unix.IN_ATTRIB|unix.IN_ONESHOT)
	})
	return err == nil && added == nil
}
