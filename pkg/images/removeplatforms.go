package images

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
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
		t, _, err := s.index.view().lookup(ref)
		if err != nil {
			return err
		}
		running, stopped := s.cfg.users(t.desc.Digest.String())
		doomed, err := t.platformsToRemove(ref, ps, force, running, stopped)
		if err != nil {
			return err
		}
		if err := forget(ctx, s.client.ContentStore(), t.desc.Digest, doomed); err != nil {
			return err
		}
		// What is read after this must not be there any more.
		if err := s.keeper.collectNow(ctx); err != nil {
			return err
		}
		for _, id := range doomed {
			out = append(out, image.DeleteResponse{Deleted: id.String()})
			s.cfg.publish(events.ActionDelete, id.String(), id.String(), nil)
		}
		return s.index.refresh(ctx, request{names: []string{t.names[0].Name}, reread: true})
	})
	return out, err
}

// platformsToRemove decides which manifests go: those for the platforms, and
// what attests them.
func (t *target) platformsToRemove(ref string, ps []ocispec.Platform, force bool, running, stopped []string) ([]digest.Digest, error) {
	doomed := map[digest.Digest]bool{}
	for _, p := range ps {
		m := t.best(&p)
		if m == nil {
			return nil, notFound("image with reference %s was found but does not provide the specified platform (%s)", ref, platforms.FormatAll(p))
		}
		if m == t.preferred { // which containers are made of
			switch short := shortID(t.desc.Digest.String()); {
			case len(running) > 0:
				return nil, conflict("conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", short, shortID(running[0]))
			case len(stopped) > 0 && !force:
				return nil, conflict("conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", short, shortID(stopped[0]))
			}
		}
		doomed[m.desc.Digest] = true
	}
	left := false
	for _, m := range t.manifests {
		left = left || m.kind == image.ManifestKindImage && m.config != nil && !doomed[m.desc.Digest]
	}
	if !left || !images.IsIndexType(t.desc.MediaType) {
		return nil, conflict("conflict: unable to delete the only platforms of %s - remove the image itself", familiarRef(ref))
	}
	for _, m := range t.manifests {
		if m.kind == image.ManifestKindAttestation && doomed[m.attests] {
			doomed[m.desc.Digest] = true
		}
	}
	return slices.Sorted(maps.Keys(doomed)), nil
}

// forget takes the references to manifests off an index, for the collector.
func forget(ctx context.Context, store content.Store, index digest.Digest, doomed []digest.Digest) error {
	info, err := store.Info(ctx, index)
	if err != nil {
		return fmt.Errorf("index %s: %w", index, err)
	}
	var paths []string
	for key, value := range info.Labels {
		if strings.HasPrefix(key, "containerd.io/gc.ref.content") && slices.Contains(doomed, digest.Digest(value)) {
			info.Labels[key] = ""
			paths = append(paths, "labels."+key)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	if _, err := store.Update(ctx, info, paths...); err != nil {
		return fmt.Errorf("index %s: %w", index, err)
	}
	return nil
}
