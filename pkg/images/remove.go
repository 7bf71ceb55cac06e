package images

import (
	"context"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
)

// removal is what a request to remove an image amounts to.
type removal struct {
	names []images.Image // records to delete, in this order
	keep  bool           // the image stays, dangling
	gone  bool           // the image goes with its names
}

// Remove takes a name off an image, and removes the image with its last name;
// by ID it removes the image with all of its names. The rules of conflict and
// their words are Docker's: Conflict when containers use the image, or when an
// ID has several names and force is not given. A running container is never
// overruled by ID; by name, force leaves its image dangling. noPrune is
// accepted for Docker's sake: there are no parent images to be pruned. Space
// is freed after the answer.
func (s *Store) Remove(ctx context.Context, ref string, force, noPrune bool) ([]image.DeleteResponse, error) {
	_ = noPrune
	ctx = s.context(ctx)
	var (
		t    *catalog.Target
		plan removal
	)
	err := s.names.change(ctx, func(ctx context.Context) error {
		var name string
		var err error
		if t, name, err = s.catalog.View().Lookup(ref); err != nil {
			return err
		}
		running, stopped := s.catalog.Users(t.Desc.Digest.String())
		if plan, err = removalOf(t, ref, name, force, running, stopped); err != nil {
			return err
		}
		return s.remove(ctx, t, plan)
	})
	if err != nil {
		return nil, err
	}
	return s.removed(t, plan), nil
}

// remove carries a removal out and returns when the index knows.
func (s *Store) remove(ctx context.Context, t *catalog.Target, plan removal) (err error) {
	var touched []string
	defer func() {
		if rerr := s.catalog.Refresh(ctx, catalog.Request{Names: touched}); err == nil {
			err = rerr
		}
	}()
	if plan.keep {
		name := catalog.DanglingName(t.Desc.Digest)
		touched = append(touched, name)
		_, err := s.client.ImageService().Create(ctx, images.Image{Name: name, Target: catalog.Bare(t.Desc)})
		if err != nil && !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("keep image %s: %w", t.Desc.Digest, err)
		}
	}
	for _, img := range plan.names {
		touched = append(touched, img.Name)
		if err := s.client.ImageService().Delete(ctx, img.Name); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove image %s: %w", catalog.Familiar(img.Name), err)
		}
	}
	if plan.gone {
		s.keeper.Collect()
	}
	return nil
}

// removed publishes a removal and puts it into Docker's words.
func (s *Store) removed(t *catalog.Target, plan removal) []image.DeleteResponse {
	id, out := t.Desc.Digest.String(), []image.DeleteResponse{}
	for _, img := range plan.names {
		if catalog.IsDangling(img) {
			continue
		}
		name := catalog.Familiar(img.Name)
		out = append(out, image.DeleteResponse{Untagged: name})
		s.cfg.publish(events.ActionUnTag, id, name, t.Labels())
	}
	if plan.gone {
		out = append(out, image.DeleteResponse{Deleted: id})
		s.cfg.publish(events.ActionDelete, id, id, nil)
	}
	return out
}

// removalOf decides what removing ref means. name is the containerd name that
// ref matched, "" for an ID; running and stopped are containers of the image.
func removalOf(t *catalog.Target, ref, name string, force bool, running, stopped []string) (removal, error) {
	short := shortID(t.Desc.Digest.String())
	byName := name != "" && !strings.HasPrefix(ref, catalog.DanglingPrefix)
	same := t.Names
	if byName {
		same = goingWith(t, ref, name)
	}
	if byName && len(same) < len(t.Names) {
		return removal{names: same}, nil
	}
	users := append(append([]string{}, running...), stopped...)
	if byName && len(users) > 0 {
		if !force {
			return removal{}, conflict("conflict: unable to delete %s (must be forced) - container %s is using its referenced image %s",
				familiarRef(ref), shortID(users[0]), short)
		}
		return removal{names: same, keep: true}, nil
	}
	if len(running) > 0 {
		return removal{}, conflict("conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", short, shortID(running[0]))
	}
	if !force && len(stopped) > 0 {
		return removal{}, conflict("conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", short, shortID(stopped[0]))
	}
	if !force && !byName && !oneName(t) {
		return removal{}, conflict("conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", short)
	}
	return removal{names: t.Names, gone: true}, nil
}

// goingWith returns the records that go when ref, which matched name, is removed:
// the name, with the digest references of its repository if no other tag of
// the repository needs them, and a dangling name. A reference by digest means
// all names of its repository.
func goingWith(t *catalog.Target, ref, name string) (out []images.Image) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return only(t, name)
	}
	parsed, err := reference.ParseAnyReference(ref)
	_, byDigest := parsed.(reference.Digested)
	byDigest = byDigest && err == nil
	otherTag := false
	var digests []images.Image
	for _, img := range t.Names {
		n, err := reference.ParseNormalizedNamed(img.Name)
		_, digested := n.(reference.Digested)
		switch {
		case catalog.IsDangling(img), img.Name == name:
			out = append(out, img)
		case err != nil || n.Name() != named.Name():
		case byDigest:
			out = append(out, img)
		case digested:
			digests = append(digests, img)
		default:
			otherTag = true
		}
	}
	if !otherTag {
		out = append(out, digests...)
	}
	return out
}

func only(t *catalog.Target, name string) []images.Image {
	for _, img := range t.Names {
		if img.Name == name {
			return []images.Image{img}
		}
	}
	return nil
}

// oneName says whether all records of the target amount to one name.
func oneName(t *catalog.Target) bool {
	for _, img := range t.Names {
		if !catalog.IsDangling(img) {
			return len(goingWith(t, img.Name, img.Name)) == len(t.Names)
		}
	}
	return true
}

func conflict(format string, args ...any) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf(format, args...))
}

// familiarRef is a reference as Docker repeats it in messages.
func familiarRef(ref string) string {
	if named, err := reference.ParseNormalizedNamed(ref); err == nil {
		return reference.FamiliarString(reference.TagNameOnly(named))
	}
	return ref
}

// shortID is an ID as messages and progress lines show it.
func shortID(id string) string {
	if _, hex, ok := strings.Cut(id, ":"); ok {
		id = hex
	}
	return id[:min(12, len(id))]
}
