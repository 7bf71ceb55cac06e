package images

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/images/archive"
	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/progress"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Load reads an archive of images (see package archive), unpacks what the host
// can run and names the images as the archive says. With platforms, only these
// are kept, and each image must provide all of them (NotFound otherwise). A
// name that another image had is taken; that image stays, dangling.
//
// send receives "Loaded image: NAME\n" or "Loaded image ID: ID\n" for each
// image, once it can be used; before that, unless quiet, how much of each layer was
// read. InvalidArgument for a broken, hostile or
// foreign archive; nothing of it is left then.
func (s *Store) Load(ctx context.Context, r io.Reader, quiet bool, ps []ocispec.Platform, send func(jsonstream.Message) error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watch func(string, int64, io.Reader) io.Reader
	if !quiet {
		out := progress.New(send, cancel)
		watch = func(id string, size int64, r io.Reader) io.Reader { return out.Reader(r, id, "Loading layer", size) }
	}
	if len(ps) > 0 {
		// An index of an image that was removed a moment before still refers to the
		// platforms that are not asked for, and would bring them back.
		if err := s.keeper.CollectNow(s.context(ctx)); err != nil {
			return err
		}
	}
	ctx, done, err := s.keeper.Lease(s.context(ctx))
	if err != nil {
		return err
	}
	var found []archive.Image
	defer func() {
		done(err == nil)
		if err == nil {
			discarded(ctx, s, len(ps) > 0, namesOf(s.catalog.View(), found))
		}
	}()
	found, err = archive.Read(ctx, s.client.ContentStore(), r, watch)
	if err != nil {
		return err
	}
	if err := s.adopt(ctx, found, ps); err != nil {
		return err
	}
	if err := s.nameLoaded(ctx, found); err != nil {
		return err
	}
	v := s.catalog.View()
	for _, img := range found {
		if err := s.layers.Discard(ctx, v.Targets[img.Target.Digest]); err != nil {
			return err
		}
		id := img.Target.Digest.String()
		s.cfg.publish(events.ActionLoad, id, id, v.Targets[img.Target.Digest].Labels())
		text := "Loaded image ID: " + id
		if img.Name != "" {
			text = "Loaded image: " + catalog.Familiar(img.Name)
		}
		if err := send(jsonstream.Message{Stream: text + "\n"}); err != nil {
			return err
		}
	}
	return nil
}

// adopt makes targets whose blobs were written under the context's lease
// complete images: their parts refer to each other for containerd's garbage
// collector, and the manifests to be run are unpacked.
func (s *Store) adopt(ctx context.Context, found []archive.Image, ps []ocispec.Platform) error {
	var wanted platforms.Matcher
	if len(ps) > 0 {
		var each []platforms.MatchComparer
		for _, p := range ps {
			each = append(each, platforms.OnlyStrict(p))
		}
		wanted = anyOf(each)
	}
	seen, run := map[digest.Digest]bool{}, map[digest.Digest]ocispec.Descriptor{}
	for _, img := range found {
		if seen[img.Target.Digest] {
			continue
		}
		seen[img.Target.Digest] = true
		if err := connect(ctx, s.client.ContentStore(), img.Target, wanted); err != nil {
			return err
		}
		chosen, err := s.choose(ctx, img, ps)
		if err != nil {
			return err
		}
		for _, m := range chosen {
			run[m.Desc.Digest] = catalog.Bare(m.Desc)
		}
	}
	descs := make([]ocispec.Descriptor, 0, len(run))
	for _, d := range run {
		descs = append(descs, d)
	}
	return s.layers.Unpack(ctx, descs...) // whose errors are in containerd's words, as Docker's
}

// anyOf matches what one of its members matches.
type anyOf []platforms.MatchComparer

func (a anyOf) Match(p ocispec.Platform) bool {
	return slices.ContainsFunc(a, func(m platforms.MatchComparer) bool { return m.Match(p) })
}

// connect makes the present parts of a target refer to each other for the
// collector, those of all platforms or those wanted.
func connect(ctx context.Context, store content.Store, desc ocispec.Descriptor, wanted platforms.Matcher) error {
	var present images.HandlerFunc = func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := blob.Children(ctx, store, desc)
		if errdefs.IsNotFound(err) {
			return nil, images.ErrSkipDesc
		}
		return children, err
	}
	err := images.Walk(ctx, images.SetChildrenLabels(store, images.FilterPlatforms(present, wanted)), desc)
	if errdefs.IsInvalidArgument(err) || errdefs.IsResourceExhausted(err) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid archive: %v", err))
	}
	return err
}

// choose returns the manifests of an image to unpack: those for the platforms
// asked for, else the one for the host, if there is one. An image without a
// single complete manifest is refused.
func (s *Store) choose(ctx context.Context, img archive.Image, ps []ocispec.Platform) ([]*catalog.Manifest, error) {
	t, err := s.catalog.Describe(ctx, img.Target)
	if err != nil {
		return nil, err
	}
	complete := slices.DeleteFunc(slices.Clone(t.Manifests), func(m *catalog.Manifest) bool { return !m.Available || m.Config == nil })
	if len(complete) == 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid archive: image %s: %v", label(img), fault(ctx, s.client.ContentStore(), img.Target)))
	}
	t.Manifests = complete
	if len(ps) == 0 {
		if m := t.Best(nil); catalog.Host().Match(m.Platform) {
			return []*catalog.Manifest{m}, nil
		}
		return nil, nil
	}
	var chosen []*catalog.Manifest
	var missing []string
	for _, p := range ps {
		if m := t.Best(&p); m != nil {
			chosen = append(chosen, m)
		} else {
			missing = append(missing, platforms.FormatAll(p))
		}
	}
	if len(missing) > 0 {
		return nil, notFound("image %s doesn't provide the requested platform (%s)", label(img), strings.Join(missing, ", "))
	}
	return chosen, nil
}

// fault says why no manifest of a target is complete.
func fault(ctx context.Context, store content.Store, desc ocispec.Descriptor) error {
	err := images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		info, err := store.Info(ctx, desc.Digest)
		if errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("%s is missing", desc.Digest)
		}
		if err != nil {
			return nil, err
		}
		if info.Size != desc.Size {
			return nil, fmt.Errorf("%s is %d bytes long, its descriptor says %d", desc.Digest, info.Size, desc.Size)
		}
		return blob.Children(ctx, store, desc)
	}), desc)
	if err == nil {
		return fmt.Errorf("no manifest with a valid configuration")
	}
	return err
}

func label(img archive.Image) string {
	if img.Name == "" {
		return img.Target.Digest.String()
	}
	return catalog.Familiar(img.Name)
}

// nameLoaded names what was loaded and returns when the index knows.
func (s *Store) nameLoaded(ctx context.Context, found []archive.Image) error {
	return s.point(ctx, true, func(ctx context.Context) (touched []string, err error) {
		for _, img := range found {
			names, err := s.names.setLoaded(ctx, img)
			touched = append(touched, names...)
			if err != nil {
				return touched, err
			}
		}
		return touched, nil
	})
}

// point has f change names and returns when the index knows: before another change, so
// that it never misses an image that has lost one name and got another. reread has it look
// at the content again, too.
func (s *Store) point(ctx context.Context, reread bool, f func(ctx context.Context) (touched []string, err error)) error {
	return s.names.change(ctx, func(ctx context.Context) error {
		touched, err := f(ctx)
		if rerr := s.catalog.Refresh(ctx, catalog.Request{Names: touched, Reread: reread}); err == nil {
			err = rerr
		}
		return err
	})
}

// namesOf are containerd's names of images that were loaded.
func namesOf(v *catalog.View, found []archive.Image) (names []string) {
	for _, img := range found {
		if t := v.Targets[img.Target.Digest]; t != nil {
			names = append(names, t.Names[0].Name)
		}
	}
	return names
}
