package images

import (
	"context"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
)

// Tag gives the image that ref names another name ("repo", "repo:tag"). What
// had the name before stays, without it. InvalidArgument for a name that is
// none or has a digest, NotFound when there is no such image.
func (s *Store) Tag(ctx context.Context, ref, name string) error {
	t, _, err := s.catalog.View().Lookup(ref)
	if err != nil {
		return err
	}
	to, err := parseTag(name)
	if err != nil {
		return err
	}
	ctx = s.context(ctx)
	err = s.point(ctx, false, func(ctx context.Context) ([]string, error) {
		return s.names.set(ctx, to.String(), t.Desc)
	})
	if err != nil {
		return err
	}
	s.cfg.publish(events.ActionTag, t.Desc.Digest.String(), reference.FamiliarString(to), t.Labels())
	return nil
}

// parseTag parses a name that an image can be given.
func parseTag(name string) (reference.NamedTagged, error) {
	parsed, err := catalog.ParseRef(name)
	if err != nil {
		return nil, err
	}
	if _, ok := parsed.(reference.Digested); ok {
		return nil, errdefs.ErrInvalidArgument.WithMessage("refusing to create a tag with a digest reference")
	}
	tagged, ok := reference.TagNameOnly(parsed.(reference.Named)).(reference.NamedTagged)
	if !ok {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid reference format")
	}
	return tagged, nil
}
