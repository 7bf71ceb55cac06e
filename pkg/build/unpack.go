package build

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/berth-engine/berth/pkg/runtime/snapref"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/util/progress"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// unpacked makes the snapshots that containers of a built image start from: those of
// the build get the names of the image's layers. Layers that no snapshot stands for
// (of merged stages, with rewritten times) are unpacked, as are all with a
// snapshotter that cannot give names. An image for other platforms than this one has
// nothing to be unpacked. The lease in ctx holds what is made.
func (w *Worker) unpacked(ctx context.Context, src *exporter.Source, target ocispec.Descriptor) (err error) {
	done := progress.OneOff(ctx, "unpacking")
	defer func() { err = done(err) }()
	manifest, err := images.Manifest(ctx, w.ContentStore(), target, platforms.Default())
	if err != nil {
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}
	raw, err := content.ReadBlob(ctx, w.ContentStore(), manifest.Config)
	if err != nil {
		return err
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("configuration of the built image: %w", err)
	}
	ids := config.RootFS.DiffIDs
	if len(ids) != len(manifest.Layers) {
		return fmt.Errorf("the built image has %d layers and %d IDs of layers", len(manifest.Layers), len(ids))
	}
	if len(ids) == 0 {
		return nil
	}
	if err := w.snapshots(ctx, src, ids, manifest.Layers); err != nil {
		return err
	}
	return w.refer(ctx, manifest.Config.Digest, identity.ChainID(ids).String())
}

// refer has the image's configuration hold a snapshot.
func (w *Worker) refer(ctx context.Context, config digest.Digest, name string) error {
	info, err := w.ContentStore().Info(ctx, config)
	if err != nil {
		return err
	}
	label := "containerd.io/gc.ref.snapshot." + w.Snapshotter.Name()
	if info.Labels[label] == name {
		return nil
	}
	_, err = w.ContentStore().Update(ctx, content.Info{Digest: config, Labels: map[string]string{label: name}}, "labels."+label)
	return err
}

// snapshots makes those of the layers ids, of which blobs are the packed ones.
func (w *Worker) snapshots(ctx context.Context, src *exporter.Source, ids []digest.Digest, blobs []ocispec.Descriptor) error {
	ctx = namespaces.WithNamespace(ctx, w.namespace)
	if there, err := w.leased(ctx, ids); there || err != nil {
		return err
	}
	refs, err := layersHere(src)
	if err != nil {
		return err
	}
	defer func() { _ = refs.Release(context.WithoutCancel(ctx)) }() // counts in memory
	for i := range ids {
		var ref cache.ImmutableRef
		if i < len(refs) {
			ref = refs[i]
		}
		if err := w.snapshot(ctx, ref, ids[:i+1], blobs[i]); err != nil {
			return err
		}
	}
	return nil
}

// leased has the lease hold a chain's snapshot and says whether it is there. In this
// order: what is there must not go in between.
func (w *Worker) leased(ctx context.Context, chain []digest.Digest) (bool, error) {
	name := identity.ChainID(chain).String()
	if lease, ok := leases.FromContext(ctx); ok {
		if err := w.LeaseManager().AddResource(ctx, leases.Lease{ID: lease}, leases.Resource{ID: name, Type: "snapshots/" + w.Snapshotter.Name()}); err != nil {
			return false, err
		}
	}
	_, err := w.chains.Stat(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// layersHere are the build's references to the layers for this platform.
func layersHere(src *exporter.Source) (cache.RefList, error) {
	all, err := exptypes.ParsePlatforms(src.Metadata)
	if err != nil {
		return nil, err
	}
	here := platforms.Default()
	var best *exptypes.Platform
	for i, p := range all.Platforms {
		if here.Match(p.Platform) && (best == nil || here.Less(p.Platform, best.Platform)) {
			best = &all.Platforms[i]
		}
	}
	if best == nil {
		return nil, nil
	}
	ref, _ := src.FindRef(best.ID)
	if ref == nil {
		return nil, nil
	}
	return ref.LayerChain(), nil
}

// snapshot makes that of chain; the layers below the last have theirs. ref is the
// build's of the last, nil if there is none, and blob is what it is packed in.
func (w *Worker) snapshot(ctx context.Context, ref cache.ImmutableRef, chain []digest.Digest, blob ocispec.Descriptor) error {
	if there, err := w.leased(ctx, chain); there || err != nil {
		return err
	}
	below, last := chain[:len(chain)-1:len(chain)-1], chain[len(chain)-1]
	if ref != nil && ref.GetString(recordDiffID) == last.String() {
		adopted, err := snapref.Adopt(ctx, w.chains, snapshotOf(ref), identity.ChainID(below).String(), identity.ChainID(chain).String())
		if adopted || err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	layer := rootfs.Layer{Diff: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: last}, Blob: blob}
	_, err := rootfs.ApplyLayer(ctx, layer, below, w.chains, w.Applier)
	return err
}

// Keys of what BuildKit keeps of a record (cache/metadata.go).
const (
	recordDiffID   = "cache.diffID"
	recordSnapshot = "cache.snapshot"
)

// snapshotOf is the name of a record's snapshot, by default the record's own.
func snapshotOf(ref cache.ImmutableRef) string {
	if name := ref.GetString(recordSnapshot); name != "" {
		return name
	}
	return ref.ID()
}
