package volumes

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// placesDir is the folder in the store's root for places. Its name is of the days
// when subpaths of volumes were all that had one.
const placesDir = ".subpaths"

// places is the folder where images and parts of volumes are mounted for those who
// use them, by user and number: only we can change what is there, so that a container
// that shares a volume cannot put a link in its way between our look and the runtime's.
type places string

// of is the place of a user's index-th mount.
func (s places) of(user string, index int) string {
	return filepath.Join(string(s), user, strconv.Itoa(index))
}

// mountPart mounts what is at the path sub below dir, which must be reachable by the
// mount table; name is what messages call it. No link leads out of dir.
func mountPart(at string, dir *os.File, name, sub string) error {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(dir.Fd()), sub, how)
	if errors.Is(err, unix.EXDEV) {
		return invalid("path concatenation escapes the base directory, base: %s, subpath: %s", name, sub)
	}
	if err != nil {
		return invalid("cannot access path %s: %v", filepath.Join(name, sub), err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := makePlace(at, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: sub, Err: err}
	}
	defer unix.Close(tree)
	return moveTo(at, tree)
}

// mountDetached gives a mount that is in no mount table its place.
func mountDetached(at string, root *os.File) error {
	if err := makePlace(at, true); err != nil {
		return err
	}
	return moveTo(at, int(root.Fd()))
}

// mountPartDetached mounts what is at the path sub in such a mount. Before Linux 6.15
// a part can be taken only of what is in the mount table, so the whole is for a moment.
func mountPartDetached(at string, root *os.File, name, sub string) (err error) {
	whole := at + "-whole"
	if err := mountDetached(whole, root); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave(whole)) }()
	return mountPart(at, root, name, sub)
}

func moveTo(at string, tree int) error {
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: at, Err: err}
	}
	return nil
}

func makePlace(target string, dir bool) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	if dir {
		return os.MkdirAll(target, 0o700)
	}
	f, err := os.OpenFile(target, os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// unmount takes away what is mounted for a user.
func (s places) unmount(id string) error {
	dir := filepath.Join(string(s), id)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range entries {
		if err := leave(filepath.Join(dir, p.Name())); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

// leave unmounts what is at a place, and removes it. The container has mounts of its
// own; ours can go while they are busy.
func leave(at string) error {
	if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
		return &os.PathError{Op: "unmount", Path: at, Err: err}
	}
	return os.Remove(at)
}

// sweep takes away those of containers that do not run.
func (s places) sweep(running map[string]bool) error {
	dirs, err := os.ReadDir(string(s))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range dirs {
		if !running[d.Name()] {
			errs = append(errs, s.unmount(d.Name()))
		}
	}
	return errors.Join(errs...)
}
