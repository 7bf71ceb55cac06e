package catalog

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
func (x *Catalog) List(_ context.Context, o ListOptions) ([]image.Summary, error) {
	v := x.View()
	keep, err := v.Filter(o.Filters)
	if err != nil {
		return nil, err
	}
	var users map[digest.Digest]int
	if o.SharedSize {
		users = LayerUsers(v.Sorted)
	}
	out := make([]image.Summary, 0, len(v.Sorted))
	for _, t := range v.Sorted {
		if !keep(t) {
			continue
		}
		running, stopped := x.Users(t.Desc.Digest.String())
		sum := t.summary(o, users, append(running, stopped...))
		if patterns := o.Filters["reference"]; len(patterns) > 0 { // the names that were asked for
			sum.RepoTags = slices.DeleteFunc(sum.RepoTags, func(name string) bool { return !called(name, patterns) })
		}
		out = append(out, sum)
	}
	return out, nil
}

func (t *Target) summary(o ListOptions, users map[digest.Digest]int, containers []string) image.Summary {
	desc := owned(t.Desc)
	sum := image.Summary{
		ID: t.Desc.Digest.String(), Descriptor: &desc,
		Size: t.Size, SharedSize: -1,
		Containers: int64(len(containers)),
		RepoTags:   slices.Clone(t.tags), RepoDigests: slices.Clone(t.digests),
		Labels: maps.Clone(t.Labels()),
	}
	if !t.created.IsZero() {
		sum.Created = t.created.Unix()
	}
	if o.SharedSize {
		sum.SharedSize = t.Shared(users)
	}
	if o.Manifests {
		sum.Manifests = t.summaries(containers)
	}
	return sum
}

// LayerUsers counts how many targets stand on each snapshot.
func LayerUsers(all []*Target) map[digest.Digest]int {
	users := map[digest.Digest]int{}
	for _, t := range all {
		for chain := range t.Chains() {
			users[chain]++
		}
	}
	return users
}

// Chains are the snapshots of the target that exist, with their bytes.
func (t *Target) Chains() map[digest.Digest]int64 {
	out := map[digest.Digest]int64{}
	for _, m := range t.Manifests {
		for i, size := range m.unpacked {
			out[m.chain[i]] = size
		}
	}
	return out
}

// Shared is how many bytes of the target's snapshots other targets stand on, too.
func (t *Target) Shared(users map[digest.Digest]int) (n int64) {
	for chain, size := range t.Chains() {
		if users[chain] > 1 {
			n += size
		}
	}
	return n
}

// summaries describes each manifest of the target. containers are those of the
// image; they are told of the manifest that containers are made of by default,
// since a container's record names the image only.
func (t *Target) summaries(containers []string) []image.ManifestSummary {
	out := make([]image.ManifestSummary, 0, len(t.Manifests))
	for _, m := range t.Manifests {
		sum := image.ManifestSummary{ID: m.Desc.Digest.String(), Descriptor: owned(m.Desc), Available: m.Available, Kind: m.Kind}
		sum.Size.Content, sum.Size.Total = m.content, m.content+m.snapshots()
		switch m.Kind {
		case image.ManifestKindImage:
			sum.ImageData = &image.ImageProperties{Platform: *owned(ocispec.Descriptor{Platform: &m.Platform}).Platform, Containers: []string{}}
			sum.ImageData.Size.Unpacked = m.snapshots()
			if m == t.Preferred {
				sum.ImageData.Containers = append(sum.ImageData.Containers, containers...)
			}
		case image.ManifestKindAttestation:
			sum.AttestationData = &image.AttestationProperties{For: m.Attests}
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
