package catalog

import (
	"context"
	"slices"
	"time"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"
)

// Inspect describes one image from memory. NotFound and InvalidArgument as of
// Resolve. Size is in bytes of content of the platform described, as Docker 29
// tells it; List tells the bytes on disk.
func (x *Catalog) Inspect(_ context.Context, ref string, o InspectOptions) (image.InspectResponse, error) {
	t, _, err := x.View().Lookup(ref)
	if err != nil {
		return image.InspectResponse{}, err
	}
	m := t.Best(o.Platform)
	if m == nil && o.Platform != nil {
		_, err := t.Pick(ref, o.Platform)
		return image.InspectResponse{}, err
	}
	desc := owned(t.Desc)
	out := image.InspectResponse{
		ID: t.Desc.Digest.String(), Descriptor: &desc,
		Size:        t.own,
		GraphDriver: &storage.DriverData{Name: x.snapshotter},
		Metadata:    image.Metadata{LastTagTime: t.Tagged()},
	}
	out.RepoTags, out.RepoDigests = slices.Clone(t.tags), slices.Clone(t.digests)
	if o.Manifests && o.Platform == nil {
		running, stopped := x.Users(out.ID)
		out.Manifests = t.summaries(append(running, stopped...))
	}
	if m != nil {
		if o.Platform != nil {
			one := owned(Bare(m.Desc))
			out.Descriptor = &one
		}
		out.Size += m.content
		m.inspect(&out)
	}
	return out, nil
}

// inspect fills in what the configuration says.
func (m *Manifest) inspect(out *image.InspectResponse) {
	img := Clone(m.Config)
	out.Author, out.Config = img.Author, &img.Config
	out.Architecture, out.Variant, out.Os, out.OsVersion = img.Architecture, img.Variant, img.OS, img.OSVersion
	if img.Created != nil {
		out.Created = img.Created.Format(time.RFC3339Nano)
	}
	if n := len(img.History); n > 0 {
		out.Comment = img.History[n-1].Comment
	}
	out.RootFS.Type = img.RootFS.Type
	for _, d := range img.RootFS.DiffIDs {
		out.RootFS.Layers = append(out.RootFS.Layers, d.String())
	}
}

// Tagged is when a name was last made to point at the target.
func (t *Target) Tagged() (at time.Time) {
	for _, img := range t.Names {
		if img.UpdatedAt.After(at) {
			at = img.UpdatedAt
		}
	}
	return at
}
