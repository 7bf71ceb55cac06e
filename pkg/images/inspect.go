package images

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
func (s *Store) Inspect(_ context.Context, ref string, o InspectOptions) (image.InspectResponse, error) {
	t, _, err := s.index.view().lookup(ref)
	if err != nil {
		return image.InspectResponse{}, err
	}
	m := t.best(o.Platform)
	if m == nil && o.Platform != nil {
		_, err := t.pick(ref, o.Platform)
		return image.InspectResponse{}, err
	}
	desc := owned(t.desc)
	out := image.InspectResponse{
		ID: t.desc.Digest.String(), Descriptor: &desc,
		Size:        t.own,
		GraphDriver: &storage.DriverData{Name: s.cfg.Snapshotter},
		Metadata:    image.Metadata{LastTagTime: t.tagged()},
	}
	out.RepoTags, out.RepoDigests = slices.Clone(t.tags), slices.Clone(t.digests)
	if o.Manifests && o.Platform == nil {
		running, stopped := s.cfg.users(out.ID)
		out.Manifests = t.summaries(append(running, stopped...))
	}
	if m != nil {
		if o.Platform != nil {
			one := owned(bare(m.desc))
			out.Descriptor = &one
		}
		out.Size += m.content
		m.inspect(&out)
	}
	return out, nil
}

// inspect fills in what the configuration says.
func (m *manifest) inspect(out *image.InspectResponse) {
	img := clone(m.config)
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

// tagged is when a name was last made to point at the target.
func (t *target) tagged() (at time.Time) {
	for _, img := range t.names {
		if img.UpdatedAt.After(at) {
			at = img.UpdatedAt
		}
	}
	return at
}
