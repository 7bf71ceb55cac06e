// Package files reads and writes trees of files that somebody else owns and may
// be changing meanwhile: the root of a container, a volume. It packs them into
// tar streams, unpacks such streams into them, and says what changed between two.
//
// Names are resolved as a process whose root is the tree would resolve them: "/",
// ".." and symlinks end inside. Every access is by descriptor (openat2 and the
// …at calls): no name is looked up twice, and what is exchanged for a link in
// between leads nowhere else. Nothing found in a tree is executed.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Supported says whether the kernel has the calls that this package needs: Linux 5.8.
func Supported() bool {
	fd, err := openBelow(unix.AT_FDCWD, "/", unix.O_PATH, unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return false
	}
	unix.Close(fd)
	// A kernel that knows the flag complains of the descriptor, another one of the flag.
	return errors.Is(unix.UtimesNanoAt(-1, "", make([]unix.Timespec, 2), unix.AT_EMPTY_PATH), unix.EBADF)
}

// Tree is an open folder as the root of names.
type Tree struct{ dir *os.File }

// NewTree takes over an open folder; an O_PATH descriptor will do.
func NewTree(dir *os.File) *Tree { return &Tree{dir} }

// OpenTree opens a folder of the host as the root of names. A link in its place
// is refused.
func OpenTree(name string) (*Tree, error) {
	dir, err := os.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return NewTree(dir), nil
}

// Dir is the folder, which stays the tree's.
func (t *Tree) Dir() *os.File { return t.dir }

// Close lets go of the tree. Files that were opened stay open.
func (t *Tree) Close() error { return t.dir.Close() }

// ReadFile returns the content of a regular file of at most max bytes. Errors
// are those of Open, and OutOfRange for a larger file.
func (t *Tree) ReadFile(name string, max int64) ([]byte, error) {
	f, err := t.Open(name)
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
func (t *Tree) Open(name string) (*os.File, error) {
	fd, err := t.openat(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
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

// OpenDir opens a folder. fs.ErrNotExist: there is none; ENOTDIR: it is
// something else.
func (t *Tree) OpenDir(name string) (*os.File, error) {
	fd, err := t.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Lstat describes what is at name; a link there is itself, unless a "/" follows.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) {
	fd, err := t.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return f.Stat()
}

// maxLinks is how many symlinks one name may lead over: what Docker allows.
const maxLinks = 255

// Evaluate gives the absolute name without links and dots of what is at name. From
// where nothing is, the rest of the name is kept as it is.
func (t *Tree) Evaluate(name string) (string, error) {
	at, rest := "/", name
	for links := 0; rest != ""; {
		var next string
		next, rest, _ = strings.Cut(rest, "/")
		switch next {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		target, err := t.readlink(path.Join(at, next))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			return path.Join(at, next, path.Clean("/"+rest)), nil
		case err != nil:
			return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
		case target == "":
			at = path.Join(at, next)
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "readlink", Path: name, Err: unix.ELOOP}
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = target + "/" + rest
	}
	return at, nil
}

// readlink gives where a link leads to; "" for what is none.
func (t *Tree) readlink(name string) (string, error) {
	fd, err := t.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	return readlinkat(fd, "")
}

// retries bounds how often a lookup is repeated: openat2(2) gives EAGAIN when
// someone renames folders on the way of a "..".
const retries = 32

func (t *Tree) openat(name string, flags int) (int, error) {
	defer runtime.KeepAlive(t.dir)
	return openBelow(int(t.dir.Fd()), name, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

func openBelow(dir int, name string, flags int, resolve uint64) (int, error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	for n := 0; ; n++ {
		fd, err := unix.Openat2(dir, name, how)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && n < retries:
		default:
			return fd, err
		}
	}
}

func readlinkat(dir int, name string) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, target)
	return string(target[:max(n, 0)]), err
}
