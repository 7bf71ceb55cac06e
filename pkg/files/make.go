package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// create brings an entry into being at a name that is free, or is the folder that
// exists. EEXIST: it is not free.
func (u *unpacker) create(dir int, base string, exists bool, h *tar.Header, content io.Reader) error {
	mode := uint32(h.Mode & 0o7777)
	switch h.Typeflag {
	case tar.TypeDir:
		if !exists {
			if err := unix.Mkdirat(dir, base, 0o700); err != nil {
				return err
			}
		}
		fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return u.attributes(fd, h)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(dir, base, h, content)
	case tar.TypeLink:
		return u.hardLink(dir, base, h)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(h.Linkname, dir, base); err != nil {
			return err
		}
		return u.namedAttributes(dir, base, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
		if err := unix.Mknodat(dir, base, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))); err != nil {
			return err
		}
		if err := u.namedAttributes(dir, base, h); err != nil {
			return err
		}
		// fchmodat(2) that does not follow is young (Linux 6.6); what we made a
		// moment ago is looked at once more instead.
		return chmod(fdPath(dir, base), mode)
	}
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unhandled tar header type %d", h.Typeflag))
}

// file makes a regular file. One whose content does not fit on the disk, or does
// not come, is not left behind.
func (u *unpacker) file(dir int, base string, h *tar.Header, content io.Reader) error {
	mode := uint32(0o600)
	if uid, gid := u.owner(h); u.Mine || u.me == (Owner{uid, gid}) {
		mode = uint32(h.Mode & 0o777) // most often all that there is to set
	}
	fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return err
	}
	if holes(h) {
		err = u.copySparse(fd, content, h.Size)
	} else {
		err = u.copy(fd, content, h.Size)
	}
	if err == nil {
		err = u.attributes(fd, h)
	}
	if err == nil {
		err = setTimes(fd, "", h.ModTime)
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return errors.Join(err, unix.Unlinkat(dir, base, 0))
	}
	return nil
}

func (u *unpacker) copy(fd int, content io.Reader, size int64) error {
	for size > 0 {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		b := u.buf[:min(size, int64(len(u.buf)))]
		if _, err := io.ReadFull(content, b); err != nil {
			return broken(err)
		}
		size -= int64(len(b))
		if err := write(b, func(b []byte) (int, error) { return unix.Write(fd, b) }); err != nil {
			return err
		}
	}
	return nil
}

// write repeats a call that writes until it has written all of b.
func write(b []byte, call func([]byte) (int, error)) error {
	for len(b) > 0 {
		n, err := call(b)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// holes says whether an entry was packed as one with holes; the tar reader gives
// them as zeros.
func holes(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// page is the size and alignment of what becomes a hole.
const page = 4096

var emptyPage [page]byte

// copySparse writes content but for pages of zeros.
func (u *unpacker) copySparse(fd int, content io.Reader, size int64) error {
	if err := unix.Ftruncate(fd, size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		if err := u.ctx.Err(); err != nil {
			return err
		}
		b := u.buf[:min(size-at, int64(len(u.buf)))]
		if _, err := io.ReadFull(content, b); err != nil {
			return broken(err)
		}
		for len(b) > 0 {
			n, zeros := run(b)
			if !zeros {
				if err := writeAt(fd, b[:n], at); err != nil {
					return err
				}
			}
			b, at = b[n:], at+int64(n)
		}
	}
	return nil
}

func writeAt(fd int, b []byte, at int64) error {
	return write(b, func(b []byte) (int, error) {
		n, err := unix.Pwrite(fd, b, at)
		at += int64(max(n, 0))
		return n, err
	})
}

// run is how many bytes b begins with of pages that are all zeros, or none of them.
func run(b []byte) (n int, zeros bool) {
	zeros = empty(b)
	for n < len(b) && empty(b[n:]) == zeros {
		n += min(page, len(b)-n)
	}
	return n, zeros
}

// empty says whether b's first page is zeros.
func empty(b []byte) bool {
	n := min(page, len(b))
	return bytes.Equal(b[:n], emptyPage[:n])
}

// hardLink gives a file of the folder a further name. A link there is not followed.
func (u *unpacker) hardLink(dir int, base string, h *tar.Header) error {
	rel, err := u.clean(h.Linkname)
	if err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid hardlink %q -> %q", h.Name, h.Linkname))
	}
	fd, err := u.tree.openat(path.Join(u.at, rel), unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "link", Path: h.Linkname, Err: err}
	}
	defer unix.Close(fd)
	return unix.Linkat(fd, "", dir, base, unix.AT_EMPTY_PATH)
}

// owner is whom an entry shall belong to; -1 leaves it to whom it has.
func (u *unpacker) owner(h *tar.Header) (uid, gid int) {
	switch {
	case u.Mine:
		return -1, -1
	case u.Owner != nil:
		return u.Owner.UID, u.Owner.GID
	}
	return h.Uid, h.Gid
}

// attributes gives an open file or folder its owner, extended attributes and mode,
// in the order in which they do not undo one another: chown takes setuid bits and
// capabilities away. What it has already is not set: each change is one of the file
// system's journal.
func (u *unpacker) attributes(fd int, h *tar.Header) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("stat", err)
	}
	mode := uint32(h.Mode & 0o7777)
	right := st.Mode&0o7777 == mode
	if uid, gid := u.owner(h); !u.Mine && (int(st.Uid) != uid || int(st.Gid) != gid) {
		right = false
		if err := unix.Fchown(fd, uid, gid); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrRecord); ok && carried(name) {
			right = false // an ACL is a mode, too
			if err := bearable(unix.Fsetxattr(fd, name, []byte(v), 0)); err != nil {
				return fmt.Errorf("xattr %s: %w", name, err)
			}
		}
	}
	if right {
		return nil
	}
	return os.NewSyscallError("chmod", unix.Fchmod(fd, mode))
}

// namedAttributes are those of a link or a device, which cannot be opened. The mode
// is not among them.
func (u *unpacker) namedAttributes(dir int, base string, h *tar.Header) error {
	if uid, gid := u.owner(h); !u.Mine {
		if err := unix.Fchownat(dir, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrRecord); ok && carried(name) {
			if err := bearable(unix.Lsetxattr(fdPath(dir, base), name, []byte(v), 0)); err != nil {
				return fmt.Errorf("xattr %s: %w", name, err)
			}
		}
	}
	return setTimes(dir, base, h.ModTime)
}

// bearable: a file system without extended attributes, or without this one on this
// kind of file (user.* on a link), keeps the rest of the file.
func bearable(err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// chmod does not follow a link that has taken the place of what we made.
func chmod(name string, mode uint32) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}
