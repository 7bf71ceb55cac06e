package files

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// maxDepth bounds nesting: each level holds descriptors open.
const maxDepth = 1024

// bufferSize is that of the one buffer that content is copied through.
const bufferSize = 512 << 10

// PackOptions are what differs between the uses of Pack.
type PackOptions struct {
	// Exact keeps what Docker's streams leave out: fractions of seconds, and holes,
	// as GNU tar writes them.
	Exact bool
	// Unreadable is told of files and folders that the caller may not read, which are
	// left out then; without it they end the packing.
	Unreadable func(error)
}

// Pack writes what is at name into a tar stream, in which it is called as; what
// is below a folder follows it. Links are written, not followed, a file with
// several names once. Sockets are left out, as is what vanishes or becomes
// something else meanwhile; a file that shrinks is filled up with zeros, as by GNU
// tar. The order is that of names.
func (t *Tree) Pack(ctx context.Context, w io.Writer, name, as string, o PackOptions) error {
	fd, err := t.openat(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	p := newPacker(ctx, w, o)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = p.folder(fd, as, 0)
	} else {
		err = t.packOne(p, name, as)
	}
	if err != nil {
		return err
	}
	return p.close()
}

// packOne packs what is no folder.
func (t *Tree) packOne(p *packer, name, as string) error {
	parent, err := t.openat(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(parent)
	return p.entry(parent, path.Base(name), as, 0)
}

// packer writes one tar stream.
type packer struct {
	PackOptions
	ctx    context.Context
	out    *bufio.Writer
	tar    *tar.Writer
	links  map[inode]string // files with several names: the first one in the stream
	xattrs xattrs
	buf    []byte
}

type inode struct{ dev, ino uint64 }

func newPacker(ctx context.Context, w io.Writer, o PackOptions) *packer {
	out := bufio.NewWriterSize(w, 64<<10)
	return &packer{PackOptions: o, ctx: ctx, out: out, tar: tar.NewWriter(out), links: map[inode]string{}, buf: make([]byte, bufferSize)}
}

func (p *packer) close() error { return errors.Join(p.tar.Close(), p.out.Flush()) }

// folder packs a folder and what is in it.
func (p *packer) folder(dir int, as string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: folders are nested deeper than %d", as, maxDepth)
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: as, Err: err}
	}
	if err := p.header(&st, as, "", place{path: fdPath(dir, "")}); err != nil {
		return err
	}
	names, err := readNames(dir)
	if err != nil {
		return p.passable(&fs.PathError{Op: "readdir", Path: as, Err: err})
	}
	for _, name := range names {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if err := p.entry(dir, name, below(as, name), depth); err != nil {
			return err
		}
	}
	return nil
}

// below is the name in the stream of a folder's entry. "" is the folder whose
// entries stand for themselves.
func below(as, name string) string {
	switch as {
	case "", "/":
		return as + name
	}
	return as + "/" + name
}

func (p *packer) entry(dir int, name, as string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return vanished(&fs.PathError{Op: "stat", Path: as, Err: err})
	}
	kind := st.Mode & unix.S_IFMT
	switch kind {
	case unix.S_IFSOCK:
		return nil
	case unix.S_IFDIR:
		fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return vanished(&fs.PathError{Op: "open", Path: as, Err: err})
		}
		defer unix.Close(fd)
		return p.folder(fd, as, depth+1)
	case unix.S_IFREG:
		return p.file(dir, name, as)
	case unix.S_IFLNK:
		target, err := readlinkat(dir, name)
		if err != nil {
			return vanished(&fs.PathError{Op: "readlink", Path: as, Err: err})
		}
		return p.header(&st, as, target, place{path: fdPath(dir, name)})
	}
	return p.header(&st, as, "", place{path: fdPath(dir, name)})
}

// vanished drops the error that something is not there any more, or is something
// else: whoever owns the tree may do as he likes.
func vanished(err error) error {
	for _, gone := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EINVAL, unix.ENXIO, unix.ESTALE} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

// passable is vanished for what may be forbidden as well.
func (p *packer) passable(err error) error {
	if p.Unreadable != nil && errors.Is(err, fs.ErrPermission) {
		p.Unreadable(err)
		return nil
	}
	return vanished(err)
}

// file packs a regular file.
func (p *packer) file(dir int, name, as string) error {
	// O_NONBLOCK: should it have become a FIFO, nobody waits for its other end.
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return p.passable(&fs.PathError{Op: "open", Path: as, Err: err})
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: as, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	if st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := p.links[id]; ok {
			return p.hardLink(&st, as, first)
		}
		p.links[id] = as
	}
	if p.Exact && st.Blocks*512 < st.Size {
		if done, err := p.sparse(fd, &st, as); done || err != nil {
			return err
		}
	}
	if err := p.header(&st, as, "", place{fd: fd}); err != nil {
		return err
	}
	return p.content(fd, as, st.Size)
}

// content writes size bytes of a file.
func (p *packer) content(fd int, as string, size int64) error {
	for size > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Read(fd, p.buf[:min(size, int64(len(p.buf)))])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &fs.PathError{Op: "read", Path: as, Err: err}
		case n == 0:
			n = int(min(size, int64(len(p.buf))))
			clear(p.buf[:n])
		}
		if _, err := p.tar.Write(p.buf[:n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

func (p *packer) hardLink(st *unix.Stat_t, as, first string) error {
	h := p.describe(st, as)
	h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
	return p.tar.WriteHeader(h)
}

// header writes that of an entry without content, or before it; from has its
// extended attributes.
func (p *packer) header(st *unix.Stat_t, as, target string, from place) error {
	h := p.describe(st, as)
	h.Linkname = target
	if err := p.attach(h, from); err != nil {
		return &fs.PathError{Op: "xattr", Path: as, Err: err}
	}
	if h.Name == "" {
		return nil // the root of a stream that begins with what is in it
	}
	return p.tar.WriteHeader(h)
}

func (p *packer) attach(h *tar.Header, from place) error {
	return p.xattrs.each(from, func(name string, value []byte) error {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+name] = string(value)
		return nil
	})
}

var typeflags = map[uint32]byte{
	unix.S_IFREG: tar.TypeReg, unix.S_IFDIR: tar.TypeDir, unix.S_IFLNK: tar.TypeSymlink,
	unix.S_IFCHR: tar.TypeChar, unix.S_IFBLK: tar.TypeBlock, unix.S_IFIFO: tar.TypeFifo,
}

// describe makes a header without link and extended attributes.
func (p *packer) describe(st *unix.Stat_t, as string) *tar.Header {
	kind := st.Mode & unix.S_IFMT
	h := &tar.Header{
		Name: as, Typeflag: typeflags[kind], Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX,
	}
	if !p.Exact {
		h.ModTime = h.ModTime.Truncate(time.Second) // saves a PAX header for each file
	}
	switch kind {
	case unix.S_IFREG:
		h.Size = st.Size
	case unix.S_IFDIR:
		if as != "" && as != "/" {
			h.Name += "/"
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	return h
}

// readNames lists a folder in the order of names.
func readNames(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
