package files

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Owner is whom files belong to.
type Owner struct{ UID, GID int }

// Bounds of what one stream may hold. They are far above what is real, and keep
// the memory and time of one request finite.
const (
	MaxEntries = 16 << 20
	MaxBytes   = 16 << 40
)

// UnpackOptions are what differs between the uses of Unpack.
type UnpackOptions struct {
	// KeepKinds refuses to put a folder in the place of something else, and the
	// reverse.
	KeepKinds bool
	// Owner gets all files; nil leaves them to whom the stream names. Mine leaves them
	// to the process that makes them.
	Owner *Owner
	Mine  bool
	// Rename gives entries, and the targets of hard links, other names; nil keeps them.
	Rename func(name string) string
	// Exact applies an entry for the folder itself, too.
	Exact bool
	// Entries and Bytes bound the stream; 0 is MaxEntries and MaxBytes.
	Entries, Bytes int64
}

// Unpack puts what a tar stream holds into the folder at name. What is there in the
// place of an entry is replaced, folders are merged. Parents that are missing are
// made, parents that are links lead to where they lead inside the tree.
// InvalidArgument: a name or a link that leaves the folder or fits nowhere, an entry of an
// unknown kind, no tar. OutOfRange: too much. What was unpacked before an error stays.
func (t *Tree) Unpack(ctx context.Context, r io.Reader, name string, o UnpackOptions) error {
	if o.Entries == 0 {
		o.Entries = MaxEntries
	}
	if o.Bytes == 0 {
		o.Bytes = MaxBytes
	}
	at, err := t.Evaluate(name)
	if err != nil {
		return err
	}
	u := &unpacker{UnpackOptions: o, ctx: ctx, tree: t, at: at, parent: -1, me: Owner{os.Geteuid(), os.Getegid()}, buf: make([]byte, bufferSize)}
	defer u.forget()
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return broken(err)
		}
		if err := errors.Join(ctx.Err(), u.count(h)); err != nil {
			return err
		}
		if err := u.entry(h, in); err != nil {
			return misfit(err)
		}
	}
	return u.folderTimes()
}

// misfit gives a class to the errors that an archive alone brings about, by names that do
// not fit each other, the file system or what is there.
func misfit(err error) error {
	for _, errno := range []syscall.Errno{unix.ENOENT, unix.ENOTDIR, unix.EISDIR, unix.ELOOP, unix.ENAMETOOLONG, unix.EMLINK} {
		if errors.Is(err, errno) {
			return errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
	}
	return err
}

// broken gives errors of the stream's format a class; those of its source have
// one.
func broken(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid tar archive: %v", err))
	}
	return err
}

type unpacker struct {
	UnpackOptions
	ctx    context.Context
	tree   *Tree
	at     string // the folder, without links
	parent int    // descriptor of the last entry's folder, -1 for none
	under  string // its name
	times  []folderTime
	me     Owner // of what this process makes
	buf    []byte
}

// folderTime is set when nothing more comes into the folder.
type folderTime struct {
	name string // in the tree
	time time.Time
}

// count takes an entry off what is left of the bounds.
func (u *unpacker) count(h *tar.Header) error {
	u.Entries--
	u.Bytes -= h.Size
	if u.Entries < 0 || u.Bytes < 0 || h.Size < 0 {
		return errdefs.ErrOutOfRange.WithMessage("the archive holds more than is allowed: " + h.Name)
	}
	return nil
}

// clean gives an entry's name below the folder: "." or "a/b".
func (u *unpacker) clean(name string) (string, error) {
	rel := path.Clean(strings.TrimLeft(name, "/"))
	switch {
	case name == "":
		return "", errdefs.ErrInvalidArgument.WithMessage("the archive has an entry without a name")
	case rel == "..", strings.HasPrefix(rel, "../"):
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%q is outside of %q", name, u.at))
	case len(rel) >= unix.PathMax:
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the archive has a name of %d bytes", len(name)))
	}
	return rel, nil
}

// entry unpacks one.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if u.Rename != nil {
		h.Name = u.Rename(h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = u.Rename(h.Linkname)
		}
	}
	rel, err := u.clean(h.Name)
	if err != nil {
		return err
	}
	name := path.Join(u.at, rel)
	if rel == "." {
		if !u.Exact || h.Typeflag != tar.TypeDir {
			return nil
		}
		return u.self(h)
	}
	dir, err := u.open(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	if link, err := u.clean(h.Linkname); h.Typeflag == tar.TypeLink && err == nil && link == rel {
		return nil // itself
	}
	if err := u.make(dir, base, name, h, content); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		u.times = append(u.times, folderTime{name, h.ModTime})
	}
	return nil
}

// self applies the entry of the folder.
func (u *unpacker) self(h *tar.Header) error {
	fd, err := u.tree.openat(u.at, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &fs.PathError{Op: "open", Path: u.at, Err: err}
	}
	defer unix.Close(fd)
	u.times = append(u.times, folderTime{u.at, h.ModTime})
	return u.attributes(fd, h)
}

// open gives the folder that entries go to, which it makes when it is not there.
func (u *unpacker) open(name string) (int, error) {
	if u.parent >= 0 && u.under == name {
		return u.parent, nil
	}
	u.forget()
	fd, err := u.tree.makeDir(name)
	if err != nil {
		return -1, err
	}
	u.parent, u.under = fd, name
	return fd, nil
}

// forget: what is removed or replaced may have been on the way to the folder.
func (u *unpacker) forget() {
	if u.parent >= 0 {
		unix.Close(u.parent)
	}
	u.parent = -1
}

// make brings an entry into being, in the place of what has its name.
func (u *unpacker) make(dir int, base, name string, h *tar.Header, content io.Reader) error {
	err := u.create(dir, base, false, h, content)
	if errors.Is(err, unix.EEXIST) { // nothing of the content was read
		exists, failed := u.makeRoom(dir, base, name, h)
		if failed != nil {
			return failed
		}
		err = u.create(dir, base, exists, h, content)
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", h.Name, err)
	}
	return nil
}

// makeRoom removes what an entry is to replace; it says whether a folder is there
// that the entry is merged with.
func (u *unpacker) makeRoom(dir int, base, name string, h *tar.Header) (exists bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	isDir, wantDir := st.Mode&unix.S_IFMT == unix.S_IFDIR, h.Typeflag == tar.TypeDir
	switch {
	case isDir && wantDir:
		return true, nil
	case u.KeepKinds && isDir:
		return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cannot overwrite directory %q with non-directory %q", name, u.at))
	case u.KeepKinds && wantDir:
		return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cannot overwrite non-directory %q with directory %q", name, u.at))
	case !isDir:
		err = unix.Unlinkat(dir, base, 0)
	default:
		err = removeAt(u.ctx, dir, base)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return false, &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return false, nil
}

// folderTimes sets the times of folders, which what came into them changed.
func (u *unpacker) folderTimes() error {
	for _, f := range u.times {
		fd, err := u.tree.openat(f.name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if err != nil {
			continue // replaced or removed since
		}
		err = setTimes(fd, "", f.time)
		unix.Close(fd)
		if err != nil {
			return &os.PathError{Op: "utimes", Path: f.name, Err: err}
		}
	}
	return nil
}

// setTimes does it for what is called name in dir, without following it; with "" for
// what dir is.
func setTimes(dir int, name string, t time.Time) error {
	ts := timespecs(t)
	return unix.UtimesNanoAt(dir, name, ts[:], unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH)
}

// timespecs clips to what a file's times can hold: archive/tar gives any.
func timespecs(t time.Time) [2]unix.Timespec {
	ts := unix.Timespec{Sec: min(max(t.Unix(), 0), 1<<33), Nsec: int64(t.Nanosecond())}
	return [2]unix.Timespec{ts, ts}
}
