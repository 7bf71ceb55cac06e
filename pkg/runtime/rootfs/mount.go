package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Attributes of Roots: none can be used to act, and one that is only read cannot
// be written to.
const (
	harmless = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	readonly = harmless | unix.MOUNT_ATTR_RDONLY
)

// Open opens what a snapshotter's mounts would show, read-only. NotImplemented:
// they are not one overlay or bind mount.
func Open(mounts []mount.Mount) (*Root, error) { return open(mounts, false) }

// OpenImage is Open for what a container is going to have mounted: programs work in
// it.
func OpenImage(mounts []mount.Mount) (*Root, error) {
	root, err := Open(mounts)
	if err != nil {
		return nil, err
	}
	set := &unix.MountAttr{Attr_clr: harmless}
	if err := unix.MountSetattr(int(root.Dir().Fd()), "", unix.AT_EMPTY_PATH, set); err != nil {
		return nil, errors.Join(os.NewSyscallError("mount_setattr", err), root.Close())
	}
	return root, nil
}

func open(mounts []mount.Mount, writable bool) (*Root, error) {
	if len(mounts) != 1 {
		return nil, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("reading a root filesystem of %d mounts", len(mounts)))
	}
	attr := uint64(readonly)
	if writable {
		attr = harmless
	}
	switch m := mounts[0]; m.Type {
	case "bind":
		return clone(m.Source, attr)
	case "overlay":
		return openOverlay(parseOverlay(m.Options), writable)
	default:
		return nil, errdefs.ErrNotImplemented.WithMessage("reading a root filesystem of type " + m.Type)
	}
}

// OpenMounted opens a filesystem that is mounted at path, read-only. NotFound:
// nothing is mounted there.
func OpenMounted(path string) (*Root, error) { return openMounted(path, readonly) }

func openMounted(path string, attr uint64) (*Root, error) {
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
	return cloneAt(fd, "", path, attr)
}

// clone makes a detached bind mount of a folder, without what is mounted
// below it.
func clone(path string, attr uint64) (*Root, error) { return cloneAt(unix.AT_FDCWD, path, path, attr) }

func cloneAt(dirfd int, path, name string, attr uint64) (*Root, error) {
	fd, err := tree(dirfd, path, name, 0, attr)
	if err != nil {
		return nil, err
	}
	return newRoot(fd, name), nil
}

// tree makes a detached copy of a mount; flags is 0 or AT_RECURSIVE. It is private:
// what is mounted into it later must not appear in the host's.
func tree(dirfd int, path, name string, flags uint, attr uint64) (int, error) {
	flags |= unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dirfd, path, flags)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: name, Err: err}
	}
	set := &unix.MountAttr{Attr_set: attr, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|flags&unix.AT_RECURSIVE, set); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "mount_setattr", Path: name, Err: err}
	}
	return fd, nil
}

// Layers opens what a writable overlay snapshot stands on (nil: nothing) and the
// folder that takes its changes; ok is false for other snapshots.
func Layers(mounts []mount.Mount) (lower, upper *Root, ok bool, err error) {
	top, below, ok := Overlay(mounts)
	if !ok {
		return nil, nil, false, nil
	}
	if upper, err = clone(top, readonly); err != nil {
		return nil, nil, false, err
	}
	if lower, err = openOverlay(overlay{lower: below}, false); err != nil {
		return nil, nil, false, errors.Join(err, upper.Close())
	}
	return lower, upper, true, nil
}

// overlay is an overlay mount.
type overlay struct {
	lower       []string // the topmost first
	upper, work string   // "" of one without a writable layer
	options     []string // the others
}

// Overlay gives the folders of an overlay with a writable layer, the topmost of lower
// first; false of other mounts.
func Overlay(mounts []mount.Mount) (upper string, lower []string, ok bool) {
	if len(mounts) != 1 || mounts[0].Type != "overlay" {
		return "", nil, false
	}
	o := parseOverlay(mounts[0].Options)
	return o.upper, o.lower, o.upper != ""
}

func parseOverlay(options []string) (o overlay) {
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "upperdir":
			o.upper = value
		case "workdir":
			o.work = value
		case "lowerdir":
			o.lower = strings.Split(value, ":")
		default:
			o.options = append(o.options, option)
		}
	}
	return o
}

// readonly is the same with the writable layer as one like the others, which it is
// where nobody writes.
func (o overlay) readonly() overlay {
	if o.upper == "" {
		return overlay{lower: o.lower}
	}
	return overlay{lower: append([]string{o.upper}, o.lower...)}
}

// openOverlay mounts the layers.
func openOverlay(o overlay, writable bool) (*Root, error) {
	if !writable {
		if o = o.readonly(); len(o.lower) == 1 {
			return clone(o.lower[0], readonly)
		}
	}
	root, err := fsmountOverlay(o)
	if err == nil {
		return root, nil
	}
	// Before Linux 6.5 overlay has no lowerdir+ and takes no list of layers
	// longer than 256 bytes this way. The old way takes a page.
	root, oldErr := threadOverlay(o)
	if oldErr != nil {
		return nil, fmt.Errorf("mounting an overlay of %d layers: %w (and %w)", len(o.lower), err, oldErr)
	}
	return root, nil
}

func (o overlay) attr() uint64 {
	if o.upper == "" {
		return readonly
	}
	return harmless
}

// fsmountOverlay makes the mount without ever giving it a place.
func fsmountOverlay(o overlay) (*Root, error) {
	fsfd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fsfd)
	if err := o.configure(fsfd); err != nil {
		return nil, err
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, int(o.attr()))
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	return newRoot(fd, filepath.Dir(o.lower[0])), nil
}

func (o overlay) configure(fsfd int) error {
	type setting struct{ key, value string }
	settings := []setting{{"source", "overlay"}}
	for _, dir := range o.lower {
		settings = append(settings, setting{"lowerdir+", dir})
	}
	if o.upper != "" {
		settings = append(settings, setting{"upperdir", o.upper}, setting{"workdir", o.work})
		for _, option := range o.options {
			key, value, _ := strings.Cut(option, "=")
			settings = append(settings, setting{key, value})
		}
	}
	for _, s := range settings {
		set := func() error { return unix.FsconfigSetString(fsfd, s.key, s.value) }
		if s.value == "" {
			set = func() error { return unix.FsconfigSetFlag(fsfd, s.key) }
		}
		if err := set(); err != nil {
			return &os.PathError{Op: "fsconfig", Path: s.key + "=" + s.value, Err: err}
		}
	}
	return nil
}

// data writes the mount's options for mount(2) with names relative to base, which
// makes room in the page that they have to fit into for every image that the
// overlay snapshotter itself can mount.
func (o overlay) data(base string) (string, error) {
	names := slices.Clone(o.lower)
	if o.upper != "" {
		names = append(names, o.upper, o.work)
	}
	for i, dir := range names {
		rel, err := filepath.Rel(base, dir)
		if err != nil {
			return "", err
		}
		names[i] = escape(rel)
	}
	n := len(o.lower)
	parts := []string{"lowerdir=" + strings.Join(names[:n], ":")}
	if o.upper != "" {
		parts = append(parts, "upperdir="+names[n], "workdir="+names[n+1])
		parts = append(parts, o.options...)
	}
	return strings.Join(parts, ","), nil
}
