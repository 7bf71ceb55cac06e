package files

import (
	"os"

	"golang.org/x/sys/unix"
)

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
	if err := c.xattrs.each(place{path: src}, func(name string, value []byte) error {
		// A file system without them keeps the rest of the file.
		return bearable(unix.Lsetxattr(dst, name, value, 0))
	}); err != nil {
		return &os.PathError{Op: "xattr", Path: at, Err: err}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, dst, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: at, Err: err}
	}
	return nil
}

// openAttributes is attributes for files that are open. What dst has already is not set.
func (c *copier) openAttributes(dst, src int, st *unix.Stat_t) error {
	var has unix.Stat_t
	if err := unix.Fstat(dst, &has); err != nil {
		return os.NewSyscallError("stat", err)
	}
	if has.Uid != st.Uid || has.Gid != st.Gid {
		if err := unix.Fchown(dst, int(st.Uid), int(st.Gid)); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	if err := unix.Fchmod(dst, st.Mode&0o7777); err != nil {
		return os.NewSyscallError("chmod", err)
	}
	if err := c.xattrs.each(place{fd: src}, func(name string, value []byte) error {
		return bearable(unix.Fsetxattr(dst, name, value, 0))
	}); err != nil {
		return os.NewSyscallError("xattr", err)
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return os.NewSyscallError("utimes", unix.UtimesNanoAt(dst, "", times, unix.AT_EMPTY_PATH))
}
