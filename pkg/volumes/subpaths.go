package volumes

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// subpathsDir is the folder in the store's root for subpaths.
const subpathsDir = ".subpaths"

// subpaths is the folder where parts of volumes are mounted, by container and
// number.
type subpaths string

// mount mounts a part of a volume at a place that only we can change, so
// that a container that shares the volume cannot put a link in its way between
// our look and the runtime's.
func (s subpaths) mount(id string, index int, e *entry, sub string) (string, error) {
	dir, err := os.Open(e.data())
	if err != nil {
		return "", err
	}
	defer dir.Close()
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(dir.Fd()), sub, how)
	if err != nil {
		return "", invalid("cannot access path %s: %v", filepath.Join(e.data(), sub), err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	target := filepath.Join(string(s), id, strconv.Itoa(index))
	if err := makePlace(target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return "", err
	}
	tree, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return "", &os.PathError{Op: "open_tree", Path: sub, Err: err}
	}
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return "", &os.PathError{Op: "move_mount", Path: target, Err: err}
	}
	return target, nil
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

// unmount takes away what mount made for a container.
func (s subpaths) unmount(id string) error {
	dir := filepath.Join(string(s), id)
	places, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range places {
		place := filepath.Join(dir, p.Name())
		// The container has mounts of its own; ours can go while they are busy.
		if err := unix.Unmount(place, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return &os.PathError{Op: "unmount", Path: place, Err: err}
		}
		if err := os.Remove(place); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

// sweep takes away those of containers that do not run.
func (s subpaths) sweep(running map[string]bool) error {
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
