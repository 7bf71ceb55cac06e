package rootfs

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OpenDir opens a folder. fs.ErrNotExist: there is none; ENOTDIR: it is
// something else.
func (r *Root) OpenDir(name string) (*os.File, error) {
	fd, err := r.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
