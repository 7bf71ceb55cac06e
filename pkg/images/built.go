package images

import (
	"context"

	"github.com/berth-engine/berth/pkg/images/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Sink takes what builders make.
type Sink struct{ Store *Store }

// Built gives an image that a builder wrote and unpacked its names, or a dangling
// one, and returns when it can be seen. What had a name before stays, without it.
// The caller's lease holds the content until then. InvalidArgument for a name
// that is none.
func (k Sink) Built(ctx context.Context, names []string, desc ocispec.Descriptor) error {
	s := k.Store
	found := make([]archive.Image, 0, len(names))
	for _, name := range names {
		ref, err := parseTag(name)
		if err != nil {
			return err
		}
		found = append(found, archive.Image{Name: ref.String(), Target: catalog.Bare(desc)})
	}
	if len(found) == 0 {
		found = []archive.Image{{Target: catalog.Bare(desc)}}
	}
	if err := s.nameLoaded(s.context(ctx), found); err != nil {
		return err
	}
	t := s.catalog.View().Targets[desc.Digest] // nil: somebody has removed it since, which is no fault of the build
	id := desc.Digest.String()
	s.cfg.publish(events.ActionCreate, id, id, t.Labels())
	for _, img := range found {
		if img.Name != "" {
			ref, _ := reference.ParseNormalizedNamed(img.Name) // parseTag made it
			s.cfg.publish(events.ActionTag, id, reference.FamiliarString(ref), t.Labels())
		}
	}
	return nil
}
