package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// harmless are the attributes of every Root.
const harmless = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// Open opens what a snapshotter's mounts would show. NotImplemented: they are
// not one overlay or bind mount.
func Open(mounts []mount.Mount) (*Root, error) {
	if len(mounts) != 1 {
		return nil, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("reading a root filesystem of %d mounts", len(mounts)))
	}
	switch m := mounts[0]; m.Type {
	case "bind":
		return clone(m.Source)
	case "overlay":
		layers := overlayLayers(m.Options)
		if len(layers) == 1 {
			return clone(layers[0])
		}
		return openOverlay(layers)
	default:
		return nil, errdefs.ErrNotImplemented.WithMessage("reading a root filesystem of type " + m.Type)
	}
}

// OpenMounted opens a filesystem that is mounted at path. NotFound: nothing is
// mounted there.
func OpenMounted(path string) (*Root, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &st); err != nil {
		return nil, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	if st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil, errdefs.ErrNotFound.WithMessage("nothing is mounted at " + path)
	}
	return cloneAt(fd, "", path)
}

// clone makes a detached bind mount of a folder, without what is mounted
// below it.
func clone(path string) (*Root, error) { return cloneAt(unix.AT_FDCWD, path, path) }

func cloneAt(dirfd int, path, name string) (*Root, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dirfd, path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: name, Err: err}
	}
	attr := &unix.MountAttr{Attr_set: harmless}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "mount_setattr", Path: name, Err: err}
	}
	return &Root{dir: os.NewFile(uintptr(fd), name)}, nil
}

// overlayLayers lists an overlay mount's folders from the topmost down, the
// writable one included: read-only, it is a layer like the others.
func overlayLayers(options []string) []string {
	var upper, lower []string
	for _, o := range options {
		if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
			upper = []string{dir}
		}
		if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
			lower = strings.Split(dirs, ":")
		}
	}
	return append(upper, lower...)
}

// openOverlay mounts the layers, two at least, read-only.
func openOverlay(layers []string) (*Root, error) {
	root, err := fsmountOverlay(layers)
	if err == nil {
		return root, nil
	}
	// Before Linux 6.5 overlay has no lowerdir+ and takes no list of layers
	// longer than 256 bytes this way. The old way takes a page.
	root, oldErr := threadOverlay(layers)
	if oldErr != nil {
		return nil, fmt.Errorf("mounting an overlay of %d layers: %w (and %w)", len(layers), err, oldErr)
	}
	return root, nil
}

// fsmountOverlay makes the mount without ever giving it a place.
func fsmountOverlay(layers []string) (*Root, error) {
	fsfd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigSetString(fsfd, "source", "overlay"); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	for _, dir := range layers {
		if err := unix.FsconfigSetString(fsfd, "lowerdir+", dir); err != nil {
			return nil, &os.PathError{Op: "fsconfig", Path: dir, Err: err}
		}
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, harmless)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	return &Root{dir: os.NewFile(uintptr(fd), filepath.Dir(layers[0]))}, nil
}
