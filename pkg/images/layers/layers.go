// Package layers unpacks the layers of images into snapshots, several at a time, and
// lets go of compressed ones that are unpacked. Two operations never fetch or unpack
// one layer at the same time.
package layers

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// Unpacker unpacks the layers of manifests into the snapshots of one snapshotter.
type Unpacker struct {
	client      *client.Client
	snapshotter string
	Whole       bool                // blobs of layers that are unpacked are fetched, too
	parallel    bool                // the snapshotter can unpack a layer before its parent
	blobs       keyed               // blobs and chains being fetched or unpacked now, across all operations
	unpacks     *semaphore.Weighted // layers unpacked at the same time
}

// New makes one. whole says that compressed layers are fetched and kept whether they
// are unpacked or not.
func New(ctx context.Context, c *client.Client, snapshotter string, whole bool) (*Unpacker, error) {
	caps, err := c.GetSnapshotterCapabilities(ctx, snapshotter)
	if err != nil {
		return nil, fmt.Errorf("snapshotter %s: %w", snapshotter, err)
	}
	return &Unpacker{
		client: c, snapshotter: snapshotter, Whole: whole,
		parallel: slices.Contains(caps, snapshots.RebaseCap),
		unpacks:  semaphore.NewWeighted(int64(max(2, runtime.GOMAXPROCS(0)))),
	}, nil
}

// Begin prepares the unpacking of whatever manifests pass its handler.
// Layers are applied side by side where the snapshotter can place a parent
// under a snapshot afterwards; two operations never fetch or apply one layer
// at the same time. applier is containerd's, or a wrapper of it.
func (l *Unpacker) Begin(ctx context.Context, applier diff.Applier, downloads int64) (*unpack.Unpacker, error) {
	p := unpack.Platform{
		Platform:       platforms.All,
		SnapshotterKey: l.snapshotter,
		Snapshotter:    l.client.SnapshotService(l.snapshotter),
		Applier:        applier,
	}
	opts := []unpack.UnpackerOpt{
		unpack.WithDuplicationSuppressor(&l.blobs),
		unpack.WithLimiter(semaphore.NewWeighted(downloads)),
	}
	if l.Whole {
		opts = append(opts, unpack.WithFetchAllContent())
	}
	if l.parallel {
		p.SnapshotterCapabilities = []string{snapshots.RebaseCap}
		opts = append(opts, unpack.WithUnpackLimiter(l.unpacks))
	}
	return unpack.NewUnpacker(ctx, l.client.ContentStore(), append(opts, unpack.WithUnpackPlatform(p))...)
}

// Unpack unpacks manifests whose content is all here. The lease in
// ctx holds the snapshots until a name does.
func (l *Unpacker) Unpack(ctx context.Context, descs ...ocispec.Descriptor) error {
	if len(descs) == 0 {
		return nil
	}
	u, err := l.Begin(ctx, l.client.DiffService(), 8)
	if err != nil {
		return err
	}
	handler := u.Unpack(images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := blob.Children(ctx, l.client.ContentStore(), desc)
		for i := range children {
			children[i] = catalog.Bare(children[i])
		}
		return children, err
	}))
	err = images.Dispatch(ctx, handler, nil, descs...)
	if _, werr := u.Wait(); err == nil {
		err = werr
	}
	return err
}

// Discard lets the collector have the layers of manifests that are unpacked, if
// the operator wants that.
func (l *Unpacker) Discard(ctx context.Context, t *catalog.Target) error {
	if l.Whole || t == nil {
		return nil
	}
	for _, m := range t.Manifests {
		if !m.Ready() || m.Config == nil {
			continue
		}
		var layers []digest.Digest
		for _, d := range m.Layers {
			layers = append(layers, d.Digest)
		}
		if err := Forget(ctx, l.client.ContentStore(), m.Desc.Digest, layers); err != nil {
			return err
		}
	}
	return nil
}

// Forget takes the references to manifests off an index, for the collector.
func Forget(ctx context.Context, store content.Store, index digest.Digest, doomed []digest.Digest) error {
	info, err := store.Info(ctx, index)
	if err != nil {
		return fmt.Errorf("index %s: %w", index, err)
	}
	var paths []string
	for key, value := range info.Labels {
		if strings.HasPrefix(key, "containerd.io/gc.ref.content") && slices.Contains(doomed, digest.Digest(value)) {
			info.Labels[key] = ""
			paths = append(paths, "labels."+key)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if _, err := store.Update(ctx, info, paths...); err != nil {
		return fmt.Errorf("index %s: %w", index, err)
	}
	return nil
}
