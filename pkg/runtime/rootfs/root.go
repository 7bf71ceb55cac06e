// Package rootfs reads a container's root filesystem from the host without
// being led astray by what is in it.
//
// A Root is a detached mount: it is in no mount table, nobody can walk into
// it, and it is gone when it is closed or its process ends. It is read-only,
// and neither devices nor programs work in it. Names are resolved as the
// container would resolve them: "/", ".." and symlinks end inside of the root.
package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Root is an open root filesystem.
type Root struct {
	dir *os.File
}

// Close lets go of the mount. Files that were opened stay readable.
func (r *Root) Close() error { return r.dir.Close() }

// ReadFile returns the content of a regular file of at most max bytes. Errors
// are those of Open, and OutOfRange for a larger file.
func (r *Root) ReadFile(name string, max int64) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > max {
		return nil, fmt.Errorf("%s: %w", name, errdefs.ErrOutOfRange.WithMessage(fmt.Sprintf("larger than %d bytes", max)))
	}
	return content, nil
}

// Open opens a regular file for reading. fs.ErrNotExist: there is none.
// InvalidArgument: it is something else, which could block or act when opened.
func (r *Root) Open(name string) (*os.File, error) {
	fd, err := r.openat(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, errdefs.ErrInvalidArgument.WithMessage(name + " is not a regular file")
	}
	return os.NewFile(uintptr(fd), name), nil
}

// retries bounds how often a lookup is repeated: openat2(2) gives EAGAIN when
// someone renames folders on the way of a "..".
const retries = 32

func (r *Root) openat(name string, flags int) (int, error) {
	how := &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	defer runtime.KeepAlive(r.dir)
	for n := 0; ; n++ {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, how)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && n < retries:
		default:
			return fd, err
		}
	}
}
