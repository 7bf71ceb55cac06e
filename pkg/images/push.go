package images

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/progress"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/auxprogress"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Push sends an image, or without a tag all tags of the repository, to its
// registry, telling progress in Docker's words. What the registry has is not
// sent again, and what it has in another repository is linked there. Of an index
// that is not here as a whole the manifest for the host is sent instead, and the
// client told so. NotFound when there is no such image or platform here,
// PermissionDenied when the registry refuses, InvalidArgument for what is no
// name or has a digest.
func (s *Store) Push(ctx context.Context, ref string, o PushOptions, send func(jsonstream.Message) error) error {
	parsed, err := catalog.ParseRef(ref)
	if err != nil {
		return err
	}
	named, ok := parsed.(reference.Named)
	if !ok {
		return errdefs.ErrInvalidArgument.WithMessage("invalid reference format: an ID cannot be pushed")
	}
	if _, ok := named.(reference.Digested); ok {
		return errdefs.ErrInvalidArgument.WithMessage("cannot push a digest reference")
	}
	tags := []string{named.String()}
	if reference.IsNameOnly(named) {
		tags = tagsOf(s.catalog.View(), named)
	}
	if len(tags) == 0 {
		return notFound("An image does not exist locally with the tag: %s", reference.FamiliarName(named))
	}
	ctx = s.context(ctx)
	hosts, err := s.cfg.Registries.Hosts(ctx, named, o.Auth)
	if err != nil {
		return err
	}
	p := &push{s: s, hosts: hosts, platform: o.Platform, progress: send}
	for _, tag := range tags {
		one, err := reference.ParseNamed(tag)
		if err != nil {
			return err
		}
		if err := p.tag(ctx, one.(reference.NamedTagged)); err != nil {
			return err
		}
	}
	return nil
}

// push is what the tags of one push share.
type push struct {
	s        *Store
	hosts    docker.RegistryHosts
	platform *ocispec.Platform
	progress func(jsonstream.Message) error
	reached  atomic.Bool // the registry has answered once: it is worth waiting for
}

// tag sends one of them.
func (p *push) tag(ctx context.Context, ref reference.NamedTagged) error {
	v := p.s.catalog.View()
	id, ok := v.Names[ref.String()]
	if !ok {
		return notFound("tag does not exist: %s", reference.FamiliarString(ref))
	}
	t := v.Targets[id]
	desc, err := toPush(t, ref, p.platform)
	if err != nil {
		return err
	}
	ctx, done, err := p.s.keeper.Lease(ctx)
	if err != nil {
		return err
	}
	defer done(true)
	if err := p.s.keeper.Hold(ctx, id); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := progress.New(p.progress, cancel)
	out.Message("", fmt.Sprintf("The push refers to repository [%s]", ref.Name()))
	if err := p.send(ctx, ref, desc, out); err != nil {
		return remote.PushError(err, ref)
	}
	out.Message("", fmt.Sprintf("%s: digest: %s size: %d", ref.Tag(), desc.Digest, desc.Size))
	// docker-py and others read the result from here.
	out.Aux(map[string]any{"Tag": ref.Tag(), "Digest": desc.Digest, "Size": desc.Size})
	if p.platform == nil && desc.Digest != id {
		out.Aux(auxprogress.ManifestPushedInsteadOfIndex{ManifestPushedInsteadOfIndex: true, OriginalIndex: t.Desc, SelectedManifest: desc})
	}
	p.s.cfg.publish(events.ActionPush, reference.FamiliarString(ref), reference.FamiliarName(ref), t.Labels())
	return nil
}

// toPush is the index or manifest that is sent: the target if it is here as a
// whole, else the manifest for p or the host.
func toPush(t *catalog.Target, ref reference.Named, p *ocispec.Platform) (ocispec.Descriptor, error) {
	whole := complete(t)
	if p == nil && len(whole.Manifests) == len(t.Manifests) && len(t.Manifests) > 0 {
		return catalog.Bare(t.Desc), nil
	}
	m, err := whole.Pick(reference.FamiliarString(ref), p)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return catalog.Bare(m.Desc), nil
}

// send uploads blobs side by side, then what refers to them.
func (p *push) send(ctx context.Context, ref reference.Named, desc ocispec.Descriptor, out *progress.Reporter) error {
	store := p.s.client.ContentStore()
	list, err := blob.Tree(ctx, store, desc, func(d ocispec.Descriptor) bool { return !images.IsNonDistributable(d.MediaType) })
	if err != nil {
		return err
	}
	tracker := docker.NewInMemoryTracker()
	resolver := remote.Resolver(p.hosts, tracker)
	// With the digest the tag is given to desc alone, not to each manifest below it.
	pusher, err := resolver.Pusher(ctx, ref.String()+"@"+desc.Digest.String())
	if err != nil {
		return err
	}
	var blobs, documents []ocispec.Descriptor
	for _, d := range list {
		if images.IsManifestType(d.MediaType) || images.IsIndexType(d.MediaType) {
			documents = append(documents, d)
			continue
		}
		blobs = append(blobs, d)
		out.Waiting(d)
	}
	put := remotes.PushHandler(out.Pusher(pusher, tracker), store)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(p.s.cfg.Transfers.get().Uploads)
	for _, d := range blobs {
		group.Go(func() error {
			d, err := withSources(gctx, store, d)
			if err != nil {
				return err
			}
			return p.blob(gctx, d, put, out)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, d := range documents {
		if _, err := put(ctx, d); err != nil {
			return err
		}
	}
	return noteSource(ctx, store, ref, list)
}

// blob sends one, again after a while when the network or the registry fail.
func (p *push) blob(ctx context.Context, desc ocispec.Descriptor, put images.HandlerFunc, out *progress.Reporter) error {
	t := p.s.cfg.Transfers.get()
	for attempt := 1; ; attempt++ {
		_, err := put(ctx, desc)
		if err == nil {
			p.reached.Store(true)
		}
		if err == nil || attempt >= t.Attempts || !remote.Transient(err) || remote.Unreachable(err) && !p.reached.Load() {
			return err
		}
		p.s.log.Info("images: a blob is going to be sent again", "digest", desc.Digest, "attempt", attempt, "error", err)
		if err := out.Retry(ctx, desc, time.Duration(attempt)*t.RetryDelay); err != nil {
			return err
		}
	}
}

// withSources tells the pusher of the repositories that the blob is known to be
// in, by which the registry can link it.
func withSources(ctx context.Context, store content.Store, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	desc = catalog.Bare(desc)
	info, err := store.Info(ctx, desc.Digest)
	if err != nil {
		return desc, err
	}
	desc.Annotations = maps.Clone(info.Labels)
	maps.DeleteFunc(desc.Annotations, func(k, _ string) bool { return !strings.HasPrefix(k, labels.LabelDistributionSource+".") })
	return desc, nil
}

// noteSource remembers that the registry has the blobs in this repository.
func noteSource(ctx context.Context, store content.Store, ref reference.Named, list []ocispec.Descriptor) error {
	note, err := docker.AppendDistributionSourceLabel(store, ref.String())
	if err != nil {
		return err
	}
	for _, d := range list {
		if _, err := note(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
