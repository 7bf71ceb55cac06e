package files

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Place opens (O_PATH) what is at name, links followed. Where nothing is, it makes an
// empty folder or file, and the folders on the way, also where a link leads nowhere.
func (t *Tree) Place(name string, folder bool) (*os.File, error) {
	name = path.Join("/", name)
	fd, err := t.openat(name, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		if name, err = t.Evaluate(name); err == nil {
			fd, err = t.makePlace(name, folder)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (t *Tree) makePlace(name string, folder bool) (int, error) {
	if folder {
		return t.makeDir(name)
	}
	parent, err := t.makeDir(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	fd, err := unix.Openat(parent, path.Base(name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, err
	}
	unix.Close(fd)
	return t.openat(name, unix.O_PATH)
}

// makeDir opens a folder (O_PATH), and makes it and its parents where nothing is.
func (t *Tree) makeDir(name string) (int, error) {
	fd, err := t.openat(name, unix.O_PATH|unix.O_DIRECTORY)
	if !errors.Is(err, unix.ENOENT) || name == "/" || name == "." {
		if err != nil {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return fd, nil
	}
	parent, err := t.makeDir(path.Dir(name))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if err := unix.Mkdirat(parent, path.Base(name), 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err = t.openat(name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil { // a link that leads nowhere
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}
