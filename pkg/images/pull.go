package images

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// defaultDownloads is dockerd's max-concurrent-downloads.
const defaultDownloads = 3

// Pull fetches an image from its registry, unpacks it and names it, telling
// progress in Docker's words. Blobs that are here are not fetched again, nor
// those that another pull is fetching. NotFound when the registry has no such
// image, or the image no such platform, or access is denied — registries do
// not tell which; InvalidArgument for a malformed reference; DataLoss when the
// registry serves something else than it announced.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions, progress func(jsonstream.Message) error) error {
	parsed, err := parseRef(ref)
	if err != nil {
		return err
	}
	named, ok := parsed.(reference.Named)
	if !ok {
		return errdefs.ErrInvalidArgument.WithMessage("invalid reference format: an ID cannot be pulled")
	}
	ctx = s.context(ctx)
	hosts, err := s.cfg.Registry.hosts(ctx, named, o.Auth)
	if err != nil {
		return err
	}
	if !o.All {
		return s.pull(ctx, canonicalRef(named), hosts, o.Platform, progress)
	}
	repo := reference.TrimNamed(named)
	tags, err := listTags(ctx, hosts, repo)
	if err != nil {
		return pullError(err, repo)
	}
	for _, tag := range tags {
		tagged, err := reference.WithTag(repo, tag)
		if err != nil {
			s.log.Debug("images: registry lists an invalid tag", "repository", repo.Name())
			continue
		}
		if err := s.pull(ctx, tagged, hosts, o.Platform, progress); err != nil {
			return err
		}
	}
	return nil
}

// canonicalRef is what a reference is pulled and named as: a digest beats a
// tag, and the tag is latest by default.
func canonicalRef(named reference.Named) reference.Named {
	if d, ok := named.(reference.Digested); ok {
		if c, err := reference.WithDigest(reference.TrimNamed(named), d.Digest()); err == nil {
			return c
		}
	}
	return reference.TagNameOnly(named)
}

// pull fetches and names one image.
func (s *Store) pull(ctx context.Context, ref reference.Named, hosts docker.RegistryHosts, p *ocispec.Platform, progress func(jsonstream.Message) error) (err error) {
	ctx, done, err := s.keeper.lease(ctx)
	if err != nil {
		return err
	}
	defer func() { done(err == nil) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := newReporter(progress, cancel)
	desc, err := s.fetch(ctx, ref, resolver(hosts), p, out)
	if err != nil {
		return pullError(err, ref)
	}
	out.finish()
	newer := s.index.view().names[ref.String()] != desc.Digest
	var touched []string
	err = s.names.change(ctx, func(ctx context.Context) (err error) {
		touched, err = s.names.set(ctx, ref.String(), desc)
		return err
	})
	if rerr := s.index.refresh(ctx, request{names: touched, reread: true}); err == nil {
		err = rerr
	}
	if err != nil {
		return err
	}
	s.publish(events.ActionPull, reference.FamiliarString(ref), reference.FamiliarName(ref), s.index.view().targets[desc.Digest].labels())
	out.message("", "Digest: "+desc.Digest.String())
	status := "Status: Image is up to date for "
	if newer {
		status = "Status: Downloaded newer image for "
	}
	out.message("", status+reference.FamiliarString(ref))
	return nil
}

// fetch brings an image's content here, for one platform, and unpacks it.
func (s *Store) fetch(ctx context.Context, ref reference.Named, resolver remotes.Resolver, p *ocispec.Platform, out *reporter) (ocispec.Descriptor, error) {
	name, desc, err := resolver.Resolve(ctx, ref.String())
	if err != nil {
		return desc, fmt.Errorf("failed to resolve reference %q: %w", ref.String(), err)
	}
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		return desc, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("%s is not an image: media type %q is not supported", reference.FamiliarString(ref), desc.MediaType))
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return desc, err
	}
	downloads := cmp.Or(s.cfg.Registry.MaxDownloads, defaultDownloads)
	u, err := s.layers.unpacker(ctx, countingApplier{s.client.DiffService(), out}, int64(downloads))
	if err != nil {
		return desc, err
	}
	f := &fetch{s: s, ref: ref, platform: p, out: out, get: remotes.FetchHandler(s.client.ContentStore(), countingFetcher{fetcher, out})}
	if f.source, err = docker.AppendDistributionSourceLabel(s.client.ContentStore(), ref.String()); err != nil {
		return desc, err
	}
	desc = bare(desc)
	err = images.Dispatch(ctx, u.Unpack(images.HandlerFunc(f.handle)), nil, desc)
	if _, werr := u.Wait(); err == nil {
		err = werr
	}
	return desc, err
}

// fetch is what the handlers of one pull share.
type fetch struct {
	s        *Store
	ref      reference.Named
	platform *ocispec.Platform
	out      *reporter
	get      images.HandlerFunc
	source   images.HandlerFunc
}

// handle fetches one blob and says which of its children to fetch.
func (f *fetch) handle(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := bounded(desc); err != nil {
		return nil, err
	}
	if _, err := f.get(ctx, desc); err != nil {
		return nil, err
	}
	if images.IsLayerType(desc.MediaType) {
		f.out.have(desc.Digest)
	}
	if _, err := f.source(ctx, desc); err != nil {
		return nil, err
	}
	store := f.s.client.ContentStore()
	// All manifests of an index are labelled: one that another pull brought
	// must not be collected because this one is for another platform.
	children, err := images.SetChildrenLabels(store, func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return blob.Children(ctx, store, desc)
	})(ctx, desc)
	if err != nil {
		return nil, err
	}
	if images.IsIndexType(desc.MediaType) {
		if children, err = f.member(children); err != nil {
			return nil, err
		}
	}
	for i := range children {
		children[i] = bare(children[i])
	}
	if images.IsManifestType(desc.MediaType) {
		return children, f.manifest(ctx, children)
	}
	return children, nil
}

// bounded refuses documents that are too long before they are fetched.
func bounded(desc ocispec.Descriptor) error {
	limit := int64(0)
	switch {
	case images.IsManifestType(desc.MediaType), images.IsIndexType(desc.MediaType):
		limit = blob.MaxManifest
	case images.IsConfigType(desc.MediaType):
		limit = blob.MaxConfig
	}
	if limit > 0 && desc.Size > limit {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is %d bytes long, the limit is %d", desc.Digest, desc.Size, limit))
	}
	return blob.Check(desc)
}

// member picks the manifest of an index that fits the platform best. Those
// that name no platform come last: their configuration has to tell.
func (f *fetch) member(members []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	order := f.order()
	fit := slices.DeleteFunc(slices.Clone(members), func(d ocispec.Descriptor) bool {
		return d.Platform != nil && !order.Match(*d.Platform) || !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType)
	})
	if len(fit) == 0 {
		return nil, fmt.Errorf("no matching manifest for %s in the manifest list entries: %w", platforms.FormatAll(f.wanted()), errPlatform)
	}
	slices.SortStableFunc(fit, func(a, b ocispec.Descriptor) int {
		switch {
		case a.Platform == nil || b.Platform == nil:
			return cmp.Compare(btoi(a.Platform == nil), btoi(b.Platform == nil))
		case order.Less(*a.Platform, *b.Platform):
			return -1
		case order.Less(*b.Platform, *a.Platform):
			return 1
		}
		return 0
	})
	return fit[:1], nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *fetch) wanted() ocispec.Platform {
	if f.platform != nil {
		return *f.platform
	}
	return platforms.DefaultSpec()
}

func (f *fetch) order() platforms.MatchComparer {
	if f.platform != nil {
		return platforms.Only(*f.platform)
	}
	return host()
}

// manifest tells what the manifest brings.
func (f *fetch) manifest(ctx context.Context, children []ocispec.Descriptor) error {
	tag := f.ref.String()
	if d, ok := f.ref.(reference.Digested); ok {
		tag = d.Digest().String()
	} else if t, ok := f.ref.(reference.Tagged); ok {
		tag = t.Tag()
	}
	f.out.message(tag, "Pulling from "+reference.Path(f.ref))
	here := true
	for _, c := range children {
		_, err := f.s.client.ContentStore().Info(ctx, c.Digest)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		here = here && err == nil
	}
	f.out.announce(children, here)
	return nil
}
