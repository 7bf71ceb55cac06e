package images

import (
	"context"
	"maps"
	"slices"

	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// List returns the images that the options select, newest first, from memory.
// Size is what an image takes on disk in bytes: the blobs that are here and the
// snapshots that are unpacked, as Docker 29 counts it.
// InvalidArgument for a filter that does not exist or has no sense, NotFound
// for a before or since that names no image.
func (s *Store) List(_ context.Context, o ListOptions) ([]image.Summary, error) {
	v := s.index.view()
	keep, err := v.filter(o.Filters)
	if err != nil {
		return nil, err
	}
	var users map[digest.Digest]int
	if o.SharedSize {
		users = layerUsers(v.sorted)
	}
	out := make([]image.Summary, 0, len(v.sorted))
	for _, t := range v.sorted {
		if !keep(t) {
			continue
		}
		running, stopped := s.cfg.users(t.desc.Digest.String())
		out = append(out, t.summary(o, users, append(running, stopped...)))
	}
	return out, nil
}

func (t *target) summary(o ListOptions, users map[digest.Digest]int, containers []string) image.Summary {
	desc := owned(t.desc)
	sum := image.Summary{
		ID: t.desc.Digest.String(), Descriptor: &desc,
		Size: t.size, SharedSize: -1,
		Containers: int64(len(containers)),
		RepoTags:   slices.Clone(t.tags), RepoDigests: slices.Clone(t.digests),
		Labels: maps.Clone(t.labels()),
	}
	if !t.created.IsZero() {
		sum.Created = t.created.Unix()
	}
	if o.SharedSize {
		sum.SharedSize = t.shared(users)
	}
	if o.Manifests {
		sum.Manifests = t.summaries(containers)
	}
	return sum
}

// layerUsers counts how many targets stand on each snapshot.
func layerUsers(all []*target) map[digest.Digest]int {
	users := map[digest.Digest]int{}
	for _, t := range all {
		for chain := range t.chains() {
			users[chain]++
		}
	}
	return users
}

// chains are the snapshots of the target that exist, with their bytes.
func (t *target) chains() map[digest.Digest]int64 {
	out := map[digest.Digest]int64{}
	for _, m := range t.manifests {
		for i, size := range m.unpacked {
			out[m.chain[i]] = size
		}
	}
	return out
}

func (t *target) shared(users map[digest.Digest]int) (n int64) {
	for chain, size := range t.chains() {
		if users[chain] > 1 {
			n += size
		}
	}
	return n
}

// summaries describes each manifest of the target. containers are those of the
// image; they are told of the manifest that containers are made of by default,
// since a container's record names the image only.
func (t *target) summaries(containers []string) []image.ManifestSummary {
	out := make([]image.ManifestSummary, 0, len(t.manifests))
	for _, m := range t.manifests {
		sum := image.ManifestSummary{ID: m.desc.Digest.String(), Descriptor: owned(m.desc), Available: m.available, Kind: m.kind}
		sum.Size.Content, sum.Size.Total = m.content, m.content+m.snapshots()
		switch m.kind {
		case image.ManifestKindImage:
			sum.ImageData = &image.ImageProperties{Platform: *owned(ocispec.Descriptor{Platform: &m.platform}).Platform, Containers: []string{}}
			sum.ImageData.Size.Unpacked = m.snapshots()
			if m == t.preferred {
				sum.ImageData.Containers = append(sum.ImageData.Containers, containers...)
			}
		case image.ManifestKindAttestation:
			sum.AttestationData = &image.AttestationProperties{For: m.attests}
		}
		out = append(out, sum)
	}
	return out
}

// owned copies a descriptor for a caller who may change it.
func owned(d ocispec.Descriptor) ocispec.Descriptor {
	d.Annotations = maps.Clone(d.Annotations)
	d.URLs, d.Data = slices.Clone(d.URLs), slices.Clone(d.Data)
	if d.Platform != nil {
		p := *d.Platform
		p.OSFeatures = slices.Clone(p.OSFeatures)
		d.Platform = &p
	}
	return d
}
