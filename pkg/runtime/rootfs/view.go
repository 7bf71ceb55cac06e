package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/files"
	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// Mount is a file or folder of the host that a container sees in its root.
type Mount struct {
	Source      string
	Destination string // resolved in the root
	Recursive   bool   // with what is mounted below the source
	ReadOnly    bool
	// AllReadOnly makes what is mounted below the source read-only as well.
	AllReadOnly bool
}

// View opens a root for writing with mounts in their places, as the container sees
// it: the filesystem that is mounted at path if there is one, else that of the
// snapshotter's mounts. A mount's place that is missing is made, as the runtime
// would.
//
// Places are found and mounted on by descriptor. A container that exchanges one for
// a link while this is at work (CVE-2026-41568, CVE-2026-42306) leads it to another
// place in its own root.
func View(at string, snapshot []mount.Mount, mounts []Mount) (*Root, error) {
	base, err := openMounted(at, harmless)
	if err != nil {
		if base, err = open(snapshot, true); err != nil {
			return nil, err
		}
	}
	if len(mounts) == 0 {
		return base, nil
	}
	defer base.Close()
	return base.graft(mounts)
}

// graft gives a copy of r, which is moved for that, with mounts in their places.
// Mounts can be put into a mount that is attached somewhere (before Linux 6.15), so
// that is done in a namespace that nobody else sees.
func (r *Root) graft(mounts []Mount) (*Root, error) {
	fd := int(r.Dir().Fd())
	return inNamespace(func() (*Root, error) {
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return nil, os.NewSyscallError("move_mount", err)
		}
		// As the runtime: mounts under mounts come after them.
		sorted := slices.Clone(mounts)
		slices.SortStableFunc(sorted, func(a, b Mount) int { return depth(a.Destination) - depth(b.Destination) })
		for _, m := range sorted {
			if err := attach(r.Tree, m); err != nil {
				return nil, fmt.Errorf("mount %s at %s: %w", m.Source, m.Destination, err)
			}
		}
		all, err := unix.OpenTree(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("open_tree", err)
		}
		return newRoot(all, r.Dir().Name()), nil
	})
}

func depth(name string) int { return strings.Count(path.Clean(name), "/") }

func attach(root *files.Tree, m Mount) error {
	var flags uint
	if m.Recursive {
		flags = unix.AT_RECURSIVE
	}
	source, err := tree(unix.AT_FDCWD, m.Source, m.Source, flags, harmless)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	if m.ReadOnly {
		flags = unix.AT_EMPTY_PATH
		if m.AllReadOnly {
			flags |= unix.AT_RECURSIVE
		}
		if err := unix.MountSetattr(source, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return os.NewSyscallError("mount_setattr", err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return err
	}
	place, err := root.Place(m.Destination, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil {
		return err
	}
	defer place.Close()
	err = unix.MoveMount(source, "", int(place.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if errors.Is(err, unix.ENOTDIR) {
		return errors.New("one is a folder and the other is not")
	}
	return os.NewSyscallError("move_mount", err)
}
