package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/progress"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fetch brings an image's content here, for one platform, and unpacks it.
func (p *pull) fetch(ctx context.Context, ref reference.Named, out *progress.Reporter) (ocispec.Descriptor, error) {
	s := p.s
	desc, fetcher, err := remote.Resolve(ctx, p.hosts, ref)
	if err != nil {
		return desc, err
	}
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		return desc, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("%s is not an image: media type %q is not supported", reference.FamiliarString(ref), desc.MediaType))
	}
	u, err := s.layers.Begin(ctx, out.Applier(s.client.DiffService()), int64(s.cfg.Transfers.get().Downloads))
	if err != nil {
		return desc, err
	}
	f := &fetch{s: s, ref: ref, platform: p.platform, out: out, get: remotes.FetchHandler(s.client.ContentStore(), out.Fetcher(fetcher))}
	if f.source, err = docker.AppendDistributionSourceLabel(s.client.ContentStore(), ref.String()); err != nil {
		return desc, err
	}
	desc = catalog.Bare(desc)
	err = images.Dispatch(ctx, u.Unpack(images.HandlerFunc(f.handle)), nil, desc)
	if _, werr := u.Wait(); err == nil {
		err = werr
	}
	if err == nil {
		err = f.statements(ctx)
	}
	return desc, err
}

// fetch is what the handlers of one pull share.
type fetch struct {
	s        *Store
	ref      reference.Named
	platform *ocispec.Platform
	out      *progress.Reporter
	get      images.HandlerFunc
	source   images.HandlerFunc
	attests  []ocispec.Descriptor // attestations of what was picked; written by one handler after the other
}

// handle fetches one blob and says which of its children to fetch.
func (f *fetch) handle(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	children, err := f.document(ctx, desc)
	if err != nil {
		return nil, err
	}
	if images.IsLayerType(desc.MediaType) {
		f.out.Have(desc.Digest)
	}
	if images.IsIndexType(desc.MediaType) {
		if children, err = f.member(children); err != nil {
			return nil, err
		}
	}
	for i, c := range children {
		children[i] = catalog.Bare(c)
		if images.IsNonDistributable(c.MediaType) {
			children[i].URLs = c.URLs // registries need not have it
		}
	}
	if images.IsConfigType(desc.MediaType) {
		return children, f.fits(ctx, desc)
	}
	if images.IsManifestType(desc.MediaType) {
		return children, f.manifest(ctx, children)
	}
	return children, nil
}

// document fetches one blob and returns what it refers to, which containerd's
// collector keeps from now on with it.
func (f *fetch) document(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := bounded(desc); err != nil {
		return nil, err
	}
	if err := f.blob(ctx, desc); err != nil {
		return nil, err
	}
	if _, err := f.source(ctx, desc); err != nil {
		return nil, err
	}
	store := f.s.client.ContentStore()
	// All manifests of an index are labelled: one that another pull brought
	// must not be collected because this one is for another platform.
	return images.SetChildrenLabels(store, func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return blob.Children(ctx, store, desc)
	})(ctx, desc)
}

// blob fetches one, again after a while when the network or the registry fail.
func (f *fetch) blob(ctx context.Context, desc ocispec.Descriptor) error {
	t := f.s.cfg.Transfers.get()
	for attempt := 1; ; attempt++ {
		err := f.once(ctx, desc)
		if err == nil || attempt >= t.Attempts || !remote.Transient(err) {
			return err
		}
		f.s.log.Info("images: a blob is going to be fetched again", "reference", f.ref, "digest", desc.Digest, "attempt", attempt, "error", err)
		if err := f.out.Retry(ctx, desc, time.Duration(attempt)*t.RetryDelay); err != nil {
			return err
		}
	}
}

// once goes on where an earlier attempt stopped. What a power cut left of that
// may be garbage: if the whole turns out to be wrong, it is fetched from the start.
func (f *fetch) once(ctx context.Context, desc ocispec.Descriptor) error {
	store, ref := f.s.client.ContentStore(), remotes.MakeRefKey(ctx, desc)
	before, serr := store.Status(ctx, ref)
	_, err := f.get(ctx, desc)
	if !errdefs.IsFailedPrecondition(err) {
		return err
	}
	if aerr := store.Abort(ctx, ref); aerr != nil && !errdefs.IsNotFound(aerr) {
		return errors.Join(err, aerr)
	}
	if serr == nil && before.Offset > 0 {
		_, err = f.get(ctx, desc)
	}
	return err
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
// that name no platform come last: their configuration has to tell. What attests
// it is noted for statements.
func (f *fetch) member(members []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	order := f.order()
	fit := slices.DeleteFunc(slices.Clone(members), func(d ocispec.Descriptor) bool {
		return d.Platform != nil && !order.Match(*d.Platform) || !images.IsManifestType(d.MediaType) && !images.IsIndexType(d.MediaType)
	})
	if len(fit) == 0 {
		return nil, fmt.Errorf("no matching manifest for %s in the manifest list entries: %w", platforms.FormatAll(f.wanted()), remote.ErrPlatform)
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
	for _, m := range members {
		if catalog.AttestationOf(m) == fit[0].Digest {
			f.attests = append(f.attests, catalog.Bare(m))
		}
	}
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
	return catalog.Host()
}

// fits refuses an image that was asked for by platform and is for another one. An
// index need not name platforms, and a single manifest never does.
func (f *fetch) fits(ctx context.Context, config ocispec.Descriptor) error {
	if f.platform == nil {
		return nil
	}
	img, err := blob.Config(ctx, f.s.client.ContentStore(), config)
	if err != nil {
		return err
	}
	if f.order().Match(img.Platform) {
		return nil
	}
	return fmt.Errorf("image with reference %s was found but its platform (%s) does not match the specified platform (%s): %w",
		reference.FamiliarString(f.ref), platforms.FormatAll(img.Platform), platforms.FormatAll(*f.platform), remote.ErrPlatform)
}

// manifest tells what the manifest brings.
func (f *fetch) manifest(ctx context.Context, children []ocispec.Descriptor) error {
	tag := f.ref.String()
	if d, ok := f.ref.(reference.Digested); ok {
		tag = d.Digest().String()
	} else if t, ok := f.ref.(reference.Tagged); ok {
		tag = t.Tag()
	}
	f.out.Message(tag, "Pulling from "+reference.Path(f.ref))
	here := map[digest.Digest]bool{}
	for _, c := range children {
		_, err := f.s.client.ContentStore().Info(ctx, c.Digest)
		if err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		here[c.Digest] = err == nil
	}
	f.out.Announce(children, func(id digest.Digest) bool { return here[id] }, f.s.cfg.Transfers.get().Downloads)
	return nil
}
