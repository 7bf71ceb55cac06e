package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// CopyTree copies what is in folder src into folder dst, and src's owner, mode,
// times and extended attributes to it. Hard links, holes, devices, FIFOs and
// symlinks come out as they are. Both are walked by descriptor: no link is
// followed, and an entry that is exchanged while we look is an error. Names
// that dst has already are an error, too.
func CopyTree(ctx context.Context, dst, src *os.File) error {
	return copyTree(ctx, dst, src, false)
}

// CloneTree is CopyTree that shares the blocks of files, in the time that it takes to
// look at them. NotImplemented: the file system does not share blocks.
func CloneTree(ctx context.Context, dst, src *os.File) error {
	return copyTree(ctx, dst, src, true)
}

func copyTree(ctx context.Context, dst, src *os.File, clone bool) error {
	c := &copier{ctx: ctx, root: int(dst.Fd()), clone: clone, links: map[inode]string{}}
	return c.dir(int(dst.Fd()), int(src.Fd()), ".", 0)
}

// MoveTree moves what is in folder src into folder dst of the same file system, and
// gives it src's owner, mode, times and extended attributes. What dst has already stays
// as it is.
func MoveTree(dst, src *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: src.Name(), Err: err}
	}
	names, err := readNames(int(src.Fd()))
	if err != nil {
		return &os.PathError{Op: "readdir", Path: src.Name(), Err: err}
	}
	for _, name := range names {
		err := unix.Renameat2(int(src.Fd()), name, int(dst.Fd()), name, unix.RENAME_NOREPLACE)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return &os.PathError{Op: "rename", Path: name, Err: err}
		}
	}
	return (&copier{}).attributes(fdPath(int(dst.Fd()), ""), fdPath(int(src.Fd()), ""), ".", &st)
}

type copier struct {
	ctx   context.Context
	root  int              // the destination's folder
	clone bool             // blocks are shared or nothing is copied
	links map[inode]string // files with several names: where the first went, from root

	xattrs xattrs
	buf    []byte
}

// dir copies the entries and then the attributes of a folder.
func (c *copier) dir(dst, src int, at string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: folders are nested deeper than %d", at, maxDepth)
	}
	names, err := readNames(src)
	if err != nil {
		return &os.PathError{Op: "readdir", Path: at, Err: err}
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.entry(dst, src, name, path.Join(at, name), depth); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return &os.PathError{Op: "stat", Path: at, Err: err}
	}
	return c.attributes(fdPath(dst, ""), fdPath(src, ""), at, &st)
}

func (c *copier) entry(dst, src int, name, at string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: at, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := c.links[id]; ok {
			return c.link(first, dst, name, at)
		}
		c.links[id] = at
	}
	var err error
	switch kind {
	case unix.S_IFDIR:
		return c.folder(dst, src, name, at, depth)
	case unix.S_IFREG:
		return c.file(dst, src, name, at, &st)
	case unix.S_IFLNK:
		err = symlink(dst, src, name)
	default: // a device, FIFO or socket: nobody listens on a copied socket
		err = unix.Mknodat(dst, name, kind|0o600, int(st.Rdev))
	}
	if err != nil {
		return &os.PathError{Op: "copy", Path: at, Err: err}
	}
	return c.attributes(fdPath(dst, name), fdPath(src, name), at, &st)
}

func (c *copier) folder(dst, src int, name, at string, depth int) error {
	if err := unix.Mkdirat(dst, name, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: at, Err: err}
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	from, err := unix.Openat(src, name, flags, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: at, Err: err}
	}
	defer unix.Close(from)
	to, err := unix.Openat(dst, name, flags, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: at, Err: err}
	}
	defer unix.Close(to)
	return c.dir(to, from, at, depth+1)
}

// link gives a file that was copied a further name. Its first name is looked up
// without following anything.
func (c *copier) link(first string, dst int, name, at string) error {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(c.root, first, how)
	if err != nil {
		return &os.PathError{Op: "open", Path: first, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Linkat(fd, "", dst, name, unix.AT_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "link", Path: at, Err: err}
	}
	return nil
}

// file copies a regular file.
func (c *copier) file(dst, src int, name, at string, st *unix.Stat_t) error {
	// O_NONBLOCK: should it have become a FIFO, nobody waits for its other end.
	from, err := unix.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: at, Err: err}
	}
	defer unix.Close(from)
	var now unix.Stat_t
	if err := unix.Fstat(from, &now); err != nil {
		return &os.PathError{Op: "stat", Path: at, Err: err}
	}
	if now.Dev != st.Dev || now.Ino != st.Ino || now.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("copy %s: changed while it was copied", at)
	}
	to, err := unix.Openat(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: at, Err: err}
	}
	if c.clone {
		err = reflink(to, from)
	} else {
		err = c.content(to, from, &now)
	}
	if err == nil {
		err = c.openAttributes(to, from, &now)
	}
	if err = errors.Join(err, unix.Close(to)); err != nil {
		return &os.PathError{Op: "copy", Path: at, Err: err}
	}
	return nil
}

// reflink makes to share from's blocks.
func reflink(to, from int) error {
	err := unix.IoctlFileClone(to, from)
	for _, cannot := range []error{unix.EOPNOTSUPP, unix.EXDEV, unix.EINVAL, unix.ENOTTY, unix.ENOSYS} {
		if errors.Is(err, cannot) {
			return errdefs.ErrNotImplemented.WithMessage("the file system does not share blocks between files (reflinks): btrfs, bcachefs and XFS do")
		}
	}
	return err
}

// content copies the data ranges of a file; what lies between stays a hole.
func (c *copier) content(to, from int, st *unix.Stat_t) error {
	size := st.Size
	if st.Blocks*512 >= size { // no holes
		return c.span(to, from, 0, size)
	}
	if err := unix.Ftruncate(to, size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		start, err := unix.Seek(from, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // a hole up to the end
			return nil
		}
		if err != nil { // a file system that does not tell holes
			start = at
		}
		end, err := unix.Seek(from, start, unix.SEEK_HOLE)
		if err != nil {
			end = size
		}
		if err := c.span(to, from, start, min(end, size)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// span copies bytes [start, end), in pieces, so that a client that goes away
// ends it.
func (c *copier) span(to, from int, start, end int64) error {
	const piece = 16 << 20
	for start < end {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := c.piece(to, from, start, min(piece, end-start))
		if err != nil {
			return err
		}
		if n == 0 { // it has become shorter
			return nil
		}
		start += n
	}
	return nil
}

// little is what is sooner copied by ourselves than by the kernel through a pipe.
const little = 64 << 10

// piece lets the kernel copy, which shares blocks where the file system can, or
// copies itself what is little, and where the kernel does not between two file systems.
func (c *copier) piece(to, from int, at, length int64) (int64, error) {
	if length > little {
		in, out := at, at
		n, err := unix.CopyFileRange(from, &in, to, &out, int(length), 0)
		if err == nil && n > 0 {
			return int64(n), nil
		}
		switch {
		case err == nil, errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINTR):
		default:
			return 0, err
		}
	}
	if c.buf == nil {
		c.buf = make([]byte, 256<<10)
	}
	m, err := descriptor(from).ReadAt(c.buf[:min(length, int64(len(c.buf)))], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return int64(m), writeAt(to, c.buf[:m], at)
}

func symlink(dst, src int, name string) error {
	target, err := readlinkat(src, name)
	if err != nil {
		return err
	}
	return unix.Symlinkat(target, dst, name)
}
