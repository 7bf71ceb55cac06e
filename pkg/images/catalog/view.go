package catalog

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// View is all images at one instant. Views and what they point at never change,
// and must not be changed by who looks at them.
type View struct {
	Names   map[string]digest.Digest // containerd name → target
	Targets map[digest.Digest]*Target
	Sorted  []*Target // newest first, as lists show them
}

// Target is what one or more names point at: a manifest, or an index of them.
type Target struct {
	Desc      ocispec.Descriptor
	Names     []images.Image // sorted by name; at least one
	Manifests []*Manifest    // in the order of the index; one if the target is a manifest
	own       int64          // bytes of the index's own JSON, 0 if the target is a manifest

	// Computed by finish, since lists are asked for more often than images
	// change.
	Preferred     *Manifest // what the host runs, nil if nothing
	created       time.Time // of preferred, as its configuration says; zero if it does not
	Size          int64     // bytes on disk
	tags, digests []string  // RepoTags and RepoDigests, never nil
}

// Manifest is one member of a target with what is here of it.
type Manifest struct {
	Desc      ocispec.Descriptor
	Kind      image.ManifestKind
	Attests   digest.Digest // the manifest that an attestation is about
	Platform  ocispec.Platform
	configID  digest.Digest
	Config    *dockerspec.DockerOCIImage // nil if it is not here
	Layers    []ocispec.Descriptor
	chain     []digest.Digest // chain ID after each layer
	unpacked  []int64         // bytes of each snapshot of the chain that exists, from the bottom
	content   int64           // bytes of the blobs that are here, the manifest included
	Available bool            // manifest, config and all layers are here
}

// Ready says whether a container can be made on the manifest at once.
func (m *Manifest) Ready() bool { return len(m.unpacked) == len(m.chain) }

// ChainID is the snapshot that containers stand on; "" without layers.
func (m *Manifest) ChainID() digest.Digest {
	if len(m.chain) == 0 {
		return ""
	}
	return m.chain[len(m.chain)-1]
}

func (m *Manifest) snapshots() (n int64) {
	for _, size := range m.unpacked {
		n += size
	}
	return n
}

// NewView is the view of targets that are described. Those of an earlier view stay
// as they are.
func NewView(targets ...*Target) *View {
	v := &View{Names: make(map[string]digest.Digest, len(targets)), Targets: make(map[digest.Digest]*Target, len(targets))}
	for _, t := range targets {
		if t.tags == nil {
			t.finish()
		}
		v.Targets[t.Desc.Digest] = t
		for _, img := range t.Names {
			v.Names[img.Name] = t.Desc.Digest
		}
	}
	v.sort()
	return v
}

// finish computes what follows from the rest.
func (t *Target) finish() {
	t.Preferred = t.Best(nil)
	if m := t.Preferred; m != nil && m.Config.Created != nil {
		t.created = *m.Config.Created
	}
	t.Size = t.own
	for _, m := range t.Manifests {
		t.Size += m.content + m.snapshots()
	}
	t.tags, t.digests = t.tagsAndDigests()
}

func (v *View) sort() {
	v.Sorted = slices.Collect(maps.Values(v.Targets))
	slices.SortFunc(v.Sorted, func(a, b *Target) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.Desc.Digest, b.Desc.Digest))
	})
}

// standsOn says whether a snapshot is part of the target.
func (t *Target) standsOn(chain digest.Digest) bool {
	return slices.ContainsFunc(t.Manifests, func(m *Manifest) bool { return slices.Contains(m.chain, chain) })
}
