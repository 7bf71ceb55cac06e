package images

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/berth-engine/berth/pkg/images/archive"
	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// saved is an image to be saved.
type saved struct {
	*catalog.Target
	names []string // containerd names that were asked for; none by ID
}

// Save writes images as one archive that Load and docker load read, and other
// engines' clients. A name with a tag saves that name, one without all tags of
// the repository; an ID or digest saves the image without a name. With one
// platform that platform's manifest takes the place of an index; with several
// the index stays and has these platforms' content only; with none, all that
// is here. Nothing is written before an error of these kinds: NotFound for an
// image, platform or content that is not here, InvalidArgument for what is no
// reference or none at all.
func (s *Store) Save(ctx context.Context, refs []string, ps []ocispec.Platform, w io.Writer) (err error) {
	list, err := toSave(s.catalog.View(), refs)
	if err != nil {
		return err
	}
	ctx, done, err := s.keeper.Lease(s.context(ctx))
	if err != nil {
		return err
	}
	defer done(true)
	exports := make([]archive.Export, 0, len(list))
	for _, one := range list {
		if err := s.keeper.Hold(ctx, one.Desc.Digest); err != nil {
			return err
		}
		e, err := export(ctx, s.client.ContentStore(), one, ps)
		if err != nil {
			return err
		}
		exports = append(exports, e)
	}
	if err := archive.Write(ctx, s.client.ContentStore(), w, exports); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	for _, one := range list {
		id := one.Desc.Digest.String()
		s.cfg.publish(events.ActionSave, id, id, one.Labels())
	}
	return nil
}

// toSave finds what is asked for, each image once with all of its names that
// were.
func toSave(v *catalog.View, refs []string) ([]saved, error) {
	if len(refs) == 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("no image is named")
	}
	var list []saved
	at := map[digest.Digest]int{}
	add := func(t *catalog.Target, name string) {
		i, ok := at[t.Desc.Digest]
		if !ok {
			i = len(list)
			at[t.Desc.Digest] = i
			list = append(list, saved{Target: t})
		}
		if name != "" && !slices.Contains(list[i].names, name) {
			list[i].names = append(list[i].names, name)
		}
	}
	for _, ref := range refs {
		t, name, err := v.Lookup(ref)
		byID := err == nil && name == ""
		if tagged := taggedAs(v, ref); !byID && len(tagged) > 0 {
			for _, name := range tagged {
				add(v.Targets[v.Names[name]], name)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if !isTag(ref, name) {
			name = ""
		}
		add(t, name)
	}
	return list, nil
}

// taggedAs are the names of the repository that ref is, if it has neither tag
// nor digest.
func taggedAs(v *catalog.View, ref string) []string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil || !reference.IsNameOnly(named) {
		return nil
	}
	return tagsOf(v, named)
}

// tagsOf are the containerd names of a repository that have a tag, sorted.
func tagsOf(v *catalog.View, repository reference.Named) (names []string) {
	for name := range v.Names {
		n, err := reference.ParseNamed(name)
		if err != nil || n.Name() != repository.Name() {
			continue
		}
		if isTag(name, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// isTag says whether ref, which matched name, means the name and not, by its
// digest, the image.
func isTag(ref, name string) bool {
	if named, err := reference.ParseNormalizedNamed(ref); err == nil {
		if _, ok := named.(reference.Digested); ok {
			return false
		}
	}
	named, err := reference.ParseNamed(name)
	if err != nil {
		return false
	}
	_, ok := named.(reference.Tagged)
	return ok
}

// export gathers the blobs of an image.
func export(ctx context.Context, store blob.Store, one saved, ps []ocispec.Platform) (archive.Export, error) {
	wanted, run, err := one.selection(ps)
	if err != nil {
		return archive.Export{}, err
	}
	e := archive.Export{Names: one.names, Target: catalog.Bare(one.Desc)}
	if len(ps) == 1 {
		e.Target = catalog.Bare(run.Desc)
	}
	if run != nil {
		d := catalog.Bare(run.Desc)
		e.Run = &d
	}
	e.Blobs, err = blob.Tree(ctx, store, e.Target, func(d ocispec.Descriptor) bool {
		return wanted == nil || !images.IsManifestType(d.MediaType) || wanted[d.Digest]
	})
	if err != nil {
		return archive.Export{}, fmt.Errorf("image %s: %w", one.label(), err)
	}
	return e, nil
}

func (t saved) label() string {
	if len(t.names) > 0 {
		return catalog.Familiar(t.names[0])
	}
	return t.Desc.Digest.String()
}

// selection decides on platforms: the manifests that are wanted (nil: all), and
// the one that a reader of one platform gets, nil if the target has no image
// that is complete here. An image of which nothing is complete is refused.
func (t saved) selection(ps []ocispec.Platform) (wanted map[digest.Digest]bool, run *catalog.Manifest, err error) {
	whole := complete(t.Target)
	if len(ps) == 0 {
		if len(whole.Manifests) == 0 {
			return nil, nil, notFound("content of image %s is not here, pull or load it again", t.label())
		}
		return nil, whole.Best(nil), nil
	}
	wanted = map[digest.Digest]bool{}
	chosen := &catalog.Target{Desc: t.Desc}
	for _, p := range ps {
		m, err := whole.Pick(t.label(), &p)
		if err != nil {
			return nil, nil, err
		}
		wanted[m.Desc.Digest] = true
		chosen.Manifests = append(chosen.Manifests, m)
	}
	for _, m := range whole.Manifests {
		if m.Kind == image.ManifestKindAttestation && wanted[m.Attests] {
			wanted[m.Desc.Digest] = true
		}
	}
	return wanted, chosen.Best(nil), nil
}

// complete is the target with those manifests only of which all is here.
func complete(t *catalog.Target) *catalog.Target {
	return &catalog.Target{Desc: t.Desc, Manifests: slices.DeleteFunc(slices.Clone(t.Manifests), func(m *catalog.Manifest) bool { return !m.Available })}
}
