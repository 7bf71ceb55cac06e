package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/berth-engine/berth/pkg/files"
	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/berth-engine/berth/pkg/trace"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"
)

// OpenRootfs opens the container's root filesystem for reading: of a container
// with a task as the task has it mounted, else of the snapshot. NotFound:
// there is no snapshot.
func (r *rootfilesystems) OpenRootfs(ctx context.Context, id string) (*rootfs.Root, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.rootfs.open", "id", id)
	defer end()
	mounts, err := r.mounts(ctx, id)
	if err != nil {
		return nil, err
	}
	// Two overlay mounts over one upper folder do not see each other's changes
	// reliably (Documentation/filesystems/overlayfs.rst, "Sharing and copying
	// layers"), so a mount that exists is the better one.
	if r.config.State != "" {
		if root, err := rootfs.OpenMounted(bundle(r.config, id, "rootfs")); err == nil {
			return root, nil
		}
	}
	return rootfs.Open(mounts)
}

// OpenView opens the container's root filesystem for writing, with mounts in their
// places. One whose task is about to begin must not be looked at so: two mounts
// would write to one snapshot.
func (r *rootfilesystems) OpenView(ctx context.Context, id string, mounts []rootfs.Mount) (*rootfs.Root, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.rootfs.view", "id", id)
	defer end()
	snapshot, err := r.mounts(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.config.Address != "" {
		if root, err := r.processRoot(ctx, id); err != nil || root != nil {
			return root, err
		}
	}
	return rootfs.View(bundle(r.config, id, "rootfs"), snapshot, mounts)
}

func (r *rootfilesystems) mounts(ctx context.Context, id string) ([]mount.Mount, error) {
	mounts, err := r.client.SnapshotService(r.config.Snapshotter).Mounts(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("root filesystem of container %s: %w", id, err)
	}
	return mounts, nil
}

// processRoot is the root of a running container's process, mounts included: where
// another containerd has the filesystem mounted is not for us to see. nil: it does
// not run.
func (r *rootfilesystems) processRoot(ctx context.Context, id string) (*rootfs.Root, error) {
	p, err := r.process(ctx, id, "")
	if err != nil || p.Status != tasktypes.Status_RUNNING && p.Status != tasktypes.Status_PAUSED {
		return nil, nil //nolint:nilerr // no task, or one that ended
	}
	proc := filepath.Join("/proc", strconv.Itoa(int(p.Pid)))
	fd, err := unix.Open(filepath.Join(proc, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: proc, Err: err}
	}
	root := &rootfs.Root{Tree: files.NewTree(os.NewFile(uintptr(fd), proc))}
	// Its number may be another process's by now, and a privileged one may have
	// joined the host's mounts.
	again, err := r.process(ctx, id, "")
	if err != nil || again.Pid != p.Pid || again.Status != p.Status || sameMounts(proc) {
		return nil, errors.Join(fmt.Errorf("the root of container %s is not its own any more", id), root.Close())
	}
	return root, nil
}

func sameMounts(proc string) bool {
	its, err := os.Readlink(filepath.Join(proc, "ns/mnt"))
	ours, err2 := os.Readlink("/proc/self/ns/mnt")
	return err != nil || err2 != nil || its == ours
}

// CompareRootfs gives what tells the container's changes; closing lets go of it.
func (r *rootfilesystems) CompareRootfs(ctx context.Context, id string) (*files.Comparison, func() error, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.rootfs.compare", "id", id)
	defer end()
	s := r.client.SnapshotService(r.config.Snapshotter)
	mounts, err := r.mounts(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	info, err := s.Stat(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("root filesystem of container %s: %w", id, err)
	}
	merged, err := r.OpenRootfs(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	c := &files.Comparison{Merged: merged.Tree}
	closers := []func() error{merged.Close}
	closeAll := func() error {
		var errs []error
		for _, f := range closers {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	lower, upper, ok, err := rootfs.Layers(mounts)
	if err == nil && !ok && info.Parent != "" {
		lower, err = r.openParent(ctx, s, id, info.Parent)
	}
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	for _, t := range []struct {
		root *rootfs.Root
		tree **files.Tree
	}{{lower, &c.Lower}, {upper, &c.Upper}} {
		if t.root != nil {
			*t.tree = t.root.Tree
			closers = append(closers, t.root.Close)
		}
	}
	return c, closeAll, nil
}

// openParent opens what a snapshot was made on, for snapshotters that tell no
// layers. The view that is made for it is gone when it returns; what is open stays.
func (r *rootfilesystems) openParent(ctx context.Context, s snapshots.Snapshotter, id, parent string) (*rootfs.Root, error) {
	key := "berth-compare-" + id
	view, err := s.View(ctx, key, parent)
	if err != nil {
		return nil, fmt.Errorf("image of container %s: %w", id, err)
	}
	root, err := rootfs.Open(view)
	if err := errors.Join(err, s.Remove(context.WithoutCancel(ctx), key)); err != nil {
		return nil, err
	}
	return root, nil
}
