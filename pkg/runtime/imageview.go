package runtime

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// viewKey names the snapshot of the n-th image that is mounted into a container.
// They have numbers without gaps, made upwards after the container's root filesystem
// and removed downwards before it: what a crash leaves is found from that.
func viewKey(id string, n int) string { return fmt.Sprintf("%s-image-%d", id, n) }

// CreateView holds the layers with a chain ID, which may be "", for container id, to
// be mounted: read-only, and there until RemoveRootfs whatever becomes of the image. n
// counts from 0. NotFound: there are no such layers.
func (r *rootfilesystems) CreateView(ctx context.Context, id string, n int, parent digest.Digest) error {
	ctx, end := trace.Start(r.in(ctx), "runtime.view.create", "id", id)
	defer end()
	_, err := r.client.SnapshotService(r.config.Snapshotter).View(ctx, viewKey(id, n), parent.String(),
		snapshots.WithLabels(map[string]string{labelRoot: time.Now().UTC().Format(time.RFC3339)}))
	if err != nil {
		return fmt.Errorf("view for container %s: %w", id, err)
	}
	return nil
}

// OpenImage opens what CreateView holds: a mount that is in no mount table. NotFound:
// it holds nothing.
func (r *rootfilesystems) OpenImage(ctx context.Context, id string, n int) (*os.File, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.view.open", "id", id)
	defer end()
	mounts, err := r.client.SnapshotService(r.config.Snapshotter).Mounts(ctx, viewKey(id, n))
	if err != nil {
		return nil, fmt.Errorf("image %d mounted into container %s: %w", n, id, err)
	}
	root, err := rootfs.OpenImage(mounts)
	if err != nil {
		return nil, err
	}
	return root.Dir(), nil
}

// removeViews removes what CreateView made.
func (r *rootfilesystems) removeViews(ctx context.Context, id string) error {
	s := r.client.SnapshotService(r.config.Snapshotter)
	n := 0
	for ; ; n++ {
		if _, err := s.Stat(ctx, viewKey(id, n)); errdefs.IsNotFound(err) {
			break
		} else if err != nil {
			return err
		}
	}
	for n--; n >= 0; n-- {
		if err := ignore(s.Remove(ctx, viewKey(id, n)), errdefs.IsNotFound); err != nil {
			return err
		}
	}
	return nil
}
