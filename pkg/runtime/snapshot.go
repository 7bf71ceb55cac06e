package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Labels of containerd objects.
const (
	labelOwner = "berth-engine/container" // marks what this package made
	// labelRoot keeps containerd's garbage collector off a snapshot: it comes
	// to be before the container that names it.
	labelRoot = "containerd.io/gc.root"
)

const ownerFilter = `labels."` + labelOwner + `"==true`

// rootfilesystems are the writable snapshots of containers.
type rootfilesystems struct{ conn }

// CreateRootfs makes the writable snapshot of container id on top of the
// layers with that chain ID; "" is an empty one. AlreadyExists: it is there.
// NotFound: there is no such parent.
func (r *rootfilesystems) CreateRootfs(ctx context.Context, id string, parent digest.Digest) error {
	ctx, end := trace.Start(r.in(ctx), "runtime.snapshot", "id", id)
	defer end()
	s := r.client.SnapshotService(r.config.Snapshotter)
	mounts, err := s.Prepare(ctx, id, parent.String(), snapshots.WithLabels(map[string]string{
		labelOwner: "true",
		labelRoot:  time.Now().UTC().Format(time.RFC3339),
	}))
	if err != nil {
		return fmt.Errorf("snapshot of container %s: %w", id, err)
	}
	if err := markDocker(mounts); err != nil {
		return errors.Join(fmt.Errorf("snapshot of container %s: %w", id, err), s.Remove(ctx, id))
	}
	return nil
}

// markDocker writes the empty /.dockerenv by which programs find out that they
// run in a Docker container. In a snapshotter that copies layers the folder has
// the image's files already: what is there stays, and os.Root follows no
// symlink out of it.
func markDocker(mounts []mount.Mount) error {
	dir, ok := upperDir(mounts)
	if !ok {
		return nil // a snapshotter whose folder is not visible before the mount
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.OpenFile(".dockerenv", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o755), f.Close()) // whatever the umask
}

// upperDir is the folder that takes a writable mount's changes.
func upperDir(mounts []mount.Mount) (string, bool) {
	if len(mounts) == 1 && mounts[0].Type == "bind" {
		return mounts[0].Source, filepath.IsAbs(mounts[0].Source)
	}
	upper, _, ok := rootfs.Overlay(mounts)
	return upper, ok
}

// RemoveRootfs removes the snapshot and the views of container id. Absent is no
// error.
func (r *rootfilesystems) RemoveRootfs(ctx context.Context, id string) error {
	ctx, end := trace.Start(r.in(ctx), "runtime.snapshot.remove", "id", id)
	defer end()
	err := r.removeViews(ctx, id)
	if err == nil { // else they would have nobody to ask for them
		err = r.client.SnapshotService(r.config.Snapshotter).Remove(ctx, id)
	}
	if err = ignore(err, errdefs.IsNotFound); err != nil {
		return fmt.Errorf("removing the snapshot of container %s: %w", id, err)
	}
	return nil
}

// RootfsSize is how many bytes of disk the container's own layer takes, and how
// many with the layers that it stands on. It looks at every file of its own; the
// size of a layer was noted when it was unpacked. NotFound: there is no snapshot.
func (r *rootfilesystems) RootfsSize(ctx context.Context, id string) (own, total int64, err error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.snapshot.size", "id", id)
	defer end()
	snapshots := r.client.SnapshotService(r.config.Snapshotter)
	for name := id; name != ""; {
		usage, err := snapshots.Usage(ctx, name)
		if err != nil {
			return 0, 0, fmt.Errorf("size of container %s: %w", id, err)
		}
		if name == id {
			own = usage.Size
		}
		total += usage.Size
		info, err := snapshots.Stat(ctx, name)
		if err != nil {
			return 0, 0, fmt.Errorf("size of container %s: %w", id, err)
		}
		name = info.Parent
	}
	return own, total, nil
}

// Rootfs returns the IDs whose snapshot CreateRootfs made.
func (r *rootfilesystems) Rootfs(ctx context.Context) ([]string, error) {
	var ids []string
	err := r.client.SnapshotService(r.config.Snapshotter).Walk(r.in(ctx), func(_ context.Context, i snapshots.Info) error {
		ids = append(ids, i.Name)
		return nil
	}, ownerFilter)
	return ids, err
}

// bundle is a path in the bundle that the embedded containerd keeps of a task.
func bundle(c Config, id string, elem ...string) string {
	return filepath.Join(append([]string{bundleDir(c), id}, elem...)...)
}

// bundleDir is where the embedded containerd keeps them.
func bundleDir(c Config) string { return filepath.Join(c.State, taskPlugin, c.Namespace) }

// workDir is where it keeps a second folder of each.
func workDir(c Config) string { return filepath.Join(c.Root, taskPlugin, c.Namespace) }

const taskPlugin = string(plugins.RuntimePluginV2) + ".task"
