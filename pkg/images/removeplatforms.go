package images

import (
	"context"
	"maps"
	"slices"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/layers"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// RemovePlatforms removes the content of single platforms of an image that has
// several here; the image keeps its names, and a pull brings the content back.
// NotFound when there is no such image or platform, Conflict when a container uses
// it (a stopped one can be overruled) or when nothing would be left.
func (s *Store) RemovePlatforms(ctx context.Context, ref string, ps []ocispec.Platform, force bool) ([]image.DeleteResponse, error) {
	ctx = s.context(ctx)
	out := []image.DeleteResponse{}
	err := s.names.change(ctx, func(ctx context.Context) error {
		t, _, err := s.catalog.View().Lookup(ref)
		if err != nil {
			return err
		}
		running, stopped := s.catalog.Users(t.Desc.Digest.String())
		doomed, err := platformsToRemove(t, ref, ps, force, running, stopped)
		if err != nil {
			return err
		}
		if err := layers.Forget(ctx, s.client.ContentStore(), t.Desc.Digest, doomed); err != nil {
			return err
		}
		// What is read after this must not be there any more.
		if err := s.keeper.CollectNow(ctx); err != nil {
			return err
		}
		for _, id := range doomed {
			out = append(out, image.DeleteResponse{Deleted: id.String()})
			s.cfg.publish(events.ActionDelete, id.String(), id.String(), nil)
		}
		return s.catalog.Refresh(ctx, catalog.Request{Names: []string{t.Names[0].Name}, Reread: true})
	})
	return out, err
}

// platformsToRemove decides which manifests go: those for the platforms, and
// what attests them.
func platformsToRemove(t *catalog.Target, ref string, ps []ocispec.Platform, force bool, running, stopped []string) ([]digest.Digest, error) {
	doomed := map[digest.Digest]bool{}
	for _, p := range ps {
		m := t.Best(&p)
		if m == nil {
			return nil, notFound("image with reference %s was found but does not provide the specified platform (%s)", ref, platforms.FormatAll(p))
		}
		if m == t.Preferred { // which containers are made of
			switch short := shortID(t.Desc.Digest.String()); {
			case len(running) > 0:
				return nil, conflict("conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", short, shortID(running[0]))
			case len(stopped) > 0 && !force:
				return nil, conflict("conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", short, shortID(stopped[0]))
			}
		}
		doomed[m.Desc.Digest] = true
	}
	left := false
	for _, m := range t.Manifests {
		left = left || m.Kind == image.ManifestKindImage && m.Config != nil && !doomed[m.Desc.Digest]
	}
	if !left || !images.IsIndexType(t.Desc.MediaType) {
		return nil, conflict("conflict: unable to delete the only platforms of %s - remove the image itself", familiarRef(ref))
	}
	for _, m := range t.Manifests {
		if m.Kind == image.ManifestKindAttestation && doomed[m.Attests] {
			doomed[m.Desc.Digest] = true
		}
	}
	return slices.Sorted(maps.Keys(doomed)), nil
}
