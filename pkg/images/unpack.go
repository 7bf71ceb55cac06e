package images

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// layers unpacks the layers of manifests into snapshots.
type layers struct {
	client      *client.Client
	snapshotter string
	whole       bool                // blobs of layers that are unpacked are fetched, too
	parallel    bool                // the snapshotter can unpack a layer before its parent
	blobs       keyed               // blobs and chains being fetched or unpacked now, across all operations
	unpacks     *semaphore.Weighted // layers unpacked at the same time
}

func newLayers(ctx context.Context, c *client.Client, snapshotter string, whole bool) (*layers, error) {
	caps, err := c.GetSnapshotterCapabilities(ctx, snapshotter)
	if err != nil {
		return nil, fmt.Errorf("snapshotter %s: %w", snapshotter, err)
	}
	return &layers{
		client: c, snapshotter: snapshotter, whole: whole,
		parallel: slices.Contains(caps, snapshots.RebaseCap),
		unpacks:  semaphore.NewWeighted(int64(max(2, runtime.GOMAXPROCS(0)))),
	}, nil
}

// unpacker prepares the unpacking of whatever manifests pass its handler.
// Layers are applied side by side where the snapshotter can place a parent
// under a snapshot afterwards; two operations never fetch or apply one layer
// at the same time. applier is containerd's, or a wrapper of it.
func (l *layers) unpacker(ctx context.Context, applier diff.Applier, downloads int64) (*unpack.Unpacker, error) {
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
	if l.whole {
		opts = append(opts, unpack.WithFetchAllContent())
	}
	if l.parallel {
		p.SnapshotterCapabilities = []string{snapshots.RebaseCap}
		opts = append(opts, unpack.WithUnpackLimiter(l.unpacks))
	}
	return unpack.NewUnpacker(ctx, l.client.ContentStore(), append(opts, unpack.WithUnpackPlatform(p))...)
}

// unpack unpacks manifests whose content is all here. The lease in
// ctx holds the snapshots until a name does.
func (l *layers) unpack(ctx context.Context, descs ...ocispec.Descriptor) error {
	if len(descs) == 0 {
		return nil
	}
	u, err := l.unpacker(ctx, l.client.DiffService(), 8)
	if err != nil {
		return err
	}
	handler := u.Unpack(images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := blob.Children(ctx, l.client.ContentStore(), desc)
		for i := range children {
			children[i] = bare(children[i])
		}
		return children, err
	}))
	err = images.Dispatch(ctx, handler, nil, descs...)
	if _, werr := u.Wait(); err == nil {
		err = werr
	}
	return err
}

// unpackHere unpacks a manifest of an image that has a name, and returns when
// the index knows.
func (s *Store) unpackHere(ctx context.Context, t *target, m *manifest) (err error) {
	ctx = s.context(ctx)
	if !m.available {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("layers of %s are missing, pull or load the image again", m.desc.Digest))
	}
	ctx, done, err := s.keeper.lease(ctx)
	if err != nil {
		return err
	}
	defer func() { done(err == nil) }()
	if err := s.layers.unpack(ctx, bare(m.desc)); err != nil {
		return err
	}
	return s.index.refresh(ctx, request{names: []string{t.names[0].Name}, reread: true})
}

// discard lets the collector have the layers of manifests that are unpacked, if
// the operator wants that.
func (l *layers) discard(ctx context.Context, t *target) error {
	if l.whole || t == nil {
		return nil
	}
	for _, m := range t.manifests {
		if !m.ready() || m.config == nil {
			continue
		}
		var layers []digest.Digest
		for _, d := range m.layers {
			layers = append(layers, d.Digest)
		}
		if err := forget(ctx, l.client.ContentStore(), m.desc.Digest, layers); err != nil {
			return err
		}
	}
	return nil
}

// discarded collects what discard let go and has the index know. The operation's
// lease must have ended.
func discarded(ctx context.Context, s *Store, names []string) {
	if s.layers.whole {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reclaimTimeout)
	defer cancel()
	err := s.keeper.collectNow(ctx)
	if rerr := s.index.refresh(ctx, request{names: names, reread: true}); err == nil {
		err = rerr
	}
	if err != nil {
		s.log.Warn("images: drop compressed layers", "error", err)
	}
}
