package volumes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fdPath names an entry of an open folder, or with "" the folder, for the calls
// that take a path only. The kernel does not look the folder up again; the
// callers use calls that do not follow the last name.
func fdPath(dir int, name string) string {
	if name == "" {
		name = "."
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
}

// attributes gives dst owner, mode, times and extended attributes of src, in
// the order in which they do not undo one another: chown takes setuid bits and
// capabilities away, and everything changes times.
func (c *copier) attributes(dst, src, at string, st *unix.Stat_t) error {
	if err := unix.Lchown(dst, int(st.Uid), int(st.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: at, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := chmod(dst, st.Mode&0o7777); err != nil {
			return &os.PathError{Op: "chmod", Path: at, Err: err}
		}
	}
	if err := copyXattrs(dst, src); err != nil {
		return &os.PathError{Op: "xattr", Path: at, Err: err}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, dst, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: at, Err: err}
	}
	return nil
}

// chmod does not follow a link that has taken the place of what we made. (An
// fchmodat(2) that does not exists since Linux 6.6 only.)
func chmod(p string, mode uint32) error {
	fd, err := unix.Open(p, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
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

// maxXattr is the kernel's bound for one value and for a list (limits.h).
const maxXattr = 64 << 10

func copyXattrs(dst, src string) error {
	list := make([]byte, maxXattr)
	n, err := unix.Llistxattr(src, list)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	var value []byte
	for raw := range bytes.SplitSeq(list[:n], []byte{0}) {
		name := string(raw)
		// Overlay's own would make the copy mean something else in a layer.
		if name == "" || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		if value == nil {
			value = make([]byte, maxXattr)
		}
		m, err := unix.Lgetxattr(src, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		err = unix.Lsetxattr(dst, name, value[:m], 0)
		// A file system without them keeps the rest of the file.
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
