package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations by which BuildKit marks attestations in an index
// (github.com/moby/buildkit/docs/attestations/attestation-storage.md).
const (
	AnnotationReferenceType   = "vnd.docker.reference.type"
	AnnotationReferenceDigest = "vnd.docker.reference.digest"
)

// maxManifests bounds the manifests of one index that are looked at.
const maxManifests = 1000

// inventory remembers what is in the content store and the snapshotter while
// one view is made.
type inventory struct {
	content   content.Store
	layers    snapshots.Snapshotter
	mu        sync.Mutex // guards the maps; not held across calls
	blobs     map[digest.Digest]int64
	snapshots map[digest.Digest]int64 // -1: does not exist
	complete  bool                    // blobs has all that exist
}

func newInventory(c *client.Client, snapshotter string) *inventory {
	return &inventory{content: c.ContentStore(), layers: c.SnapshotService(snapshotter), blobs: map[digest.Digest]int64{}, snapshots: map[digest.Digest]int64{}}
}

// preload learns of all blobs in one call.
func (v *inventory) preload(ctx context.Context) error {
	err := v.content.Walk(ctx, func(info content.Info) error {
		v.blobs[info.Digest] = info.Size
		return nil
	})
	if err != nil {
		return fmt.Errorf("walk content: %w", err)
	}
	v.complete = true
	return nil
}

// blob returns a blob's size in bytes and whether it is here.
func (v *inventory) blob(ctx context.Context, id digest.Digest) (int64, bool, error) {
	v.mu.Lock()
	size, ok := v.blobs[id]
	v.mu.Unlock()
	if ok || v.complete {
		return size, ok, nil
	}
	info, err := v.content.Info(ctx, id)
	if errdefs.IsNotFound(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	v.mu.Lock()
	v.blobs[id] = info.Size
	v.mu.Unlock()
	return info.Size, true, nil
}

// snapshot returns the bytes of a committed snapshot, without its parents, and
// whether it is here. The snapshotter noted them when it was committed.
func (v *inventory) snapshot(ctx context.Context, chain digest.Digest) (int64, bool, error) {
	v.mu.Lock()
	size, ok := v.snapshots[chain]
	v.mu.Unlock()
	if ok {
		return size, size >= 0, nil
	}
	usage, err := v.layers.Usage(ctx, chain.String())
	if err != nil && !errdefs.IsNotFound(err) {
		return 0, false, err
	}
	size = usage.Size
	if err != nil {
		size = -1
	}
	v.mu.Lock()
	v.snapshots[chain] = size
	v.mu.Unlock()
	return size, size >= 0, nil
}

// describe fills in what is here of a target. A target whose content is
// missing or malformed keeps its name and ID, so that it can be seen and
// removed; an error is only one of containerd.
func (v *inventory) describe(ctx context.Context, t *Target) error {
	members := []ocispec.Descriptor{t.Desc}
	if images.IsIndexType(t.Desc.MediaType) {
		children, err := blob.Children(ctx, v.content, t.Desc)
		if err != nil {
			return Malformed(ctx, err)
		}
		t.own = t.Desc.Size
		members = children[:min(len(children), maxManifests)]
	}
	for _, desc := range members {
		if !images.IsManifestType(desc.MediaType) {
			continue
		}
		m, err := v.describeManifest(ctx, desc)
		if err != nil {
			return err
		}
		t.Manifests = append(t.Manifests, m)
	}
	return nil
}

// Malformed decides what an error in an image's content means: NotFound and
// InvalidArgument are the image's fault and end here.
func Malformed(ctx context.Context, err error) error {
	if ctx.Err() == nil && (errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err)) {
		return nil
	}
	return err
}

func (v *inventory) describeManifest(ctx context.Context, desc ocispec.Descriptor) (*Manifest, error) {
	m := &Manifest{Desc: desc, Kind: image.ManifestKindUnknown}
	if desc.Platform != nil {
		m.Platform = platforms.Normalize(*desc.Platform)
		if desc.Platform.OS != "unknown" {
			m.Kind = image.ManifestKindImage
		}
	}
	if m.Attests = AttestationOf(desc); m.Attests != "" {
		m.Kind = image.ManifestKindAttestation
	}
	children, err := blob.Children(ctx, v.content, desc)
	if err != nil {
		return m, Malformed(ctx, err)
	}
	if err := v.sum(ctx, m, append([]ocispec.Descriptor{desc}, children...)); err != nil {
		return nil, err
	}
	config := children[0]
	m.configID, m.Layers = config.Digest, slices.DeleteFunc(children[1:], func(d ocispec.Descriptor) bool { return !images.IsLayerType(d.MediaType) })
	if m.Kind == image.ManifestKindAttestation || !images.IsConfigType(config.MediaType) {
		return m, nil
	}
	if m.Config, err = blob.Config(ctx, v.content, config); err != nil {
		m.Config = nil
		return m, Malformed(ctx, err)
	}
	if len(m.Config.RootFS.DiffIDs) != len(m.Layers) {
		m.Config = nil
		return m, nil // as malformed: it could not be unpacked
	}
	m.Kind, m.Platform = image.ManifestKindImage, platforms.Normalize(m.Config.Platform)
	m.chain = identity.ChainIDs(slices.Clone(m.Config.RootFS.DiffIDs))
	return m, v.measure(ctx, m)
}

// sum adds up the blobs of a manifest that are here.
func (v *inventory) sum(ctx context.Context, m *Manifest, descs []ocispec.Descriptor) error {
	m.Available = true
	seen := map[digest.Digest]bool{}
	for _, d := range descs {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		size, ok, err := v.blob(ctx, d.Digest)
		if err != nil {
			return err
		}
		m.Available = m.Available && ok && size == d.Size
		m.content += size
	}
	return nil
}

// measure finds how much of the manifest's chain is unpacked.
func (v *inventory) measure(ctx context.Context, m *Manifest) error {
	m.unpacked = nil
	for _, chain := range m.chain {
		size, ok, err := v.snapshot(ctx, chain)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		m.unpacked = append(m.unpacked, size)
	}
	return nil
}

// Clone copies a configuration, so that readers cannot change ours.
func Clone(img *dockerspec.DockerOCIImage) *dockerspec.DockerOCIImage {
	c := *img
	c.OSFeatures = slices.Clone(img.OSFeatures)
	c.RootFS.DiffIDs = slices.Clone(img.RootFS.DiffIDs)
	c.History = slices.Clone(img.History)
	c.Image.Config = ocispec.ImageConfig{} // shadowed, never filled in
	cfg := &c.Config
	cfg.Env, cfg.Cmd, cfg.Entrypoint = slices.Clone(cfg.Env), slices.Clone(cfg.Cmd), slices.Clone(cfg.Entrypoint)
	cfg.OnBuild, cfg.Shell = slices.Clone(cfg.OnBuild), slices.Clone(cfg.Shell)
	cfg.ExposedPorts, cfg.Volumes, cfg.Labels = maps.Clone(cfg.ExposedPorts), maps.Clone(cfg.Volumes), maps.Clone(cfg.Labels)
	if h := cfg.Healthcheck; h != nil {
		copied := *h
		copied.Test = slices.Clone(h.Test)
		cfg.Healthcheck = &copied
	}
	return &c
}
