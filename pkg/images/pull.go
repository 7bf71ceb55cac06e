package images

import (
	"cmp"
	"context"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/progress"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pull fetches an image from its registry, unpacks it and names it, telling
// progress in Docker's words. Blobs that are here are not fetched again, nor
// those that another pull is fetching. What the network interrupts is tried again,
// and goes on where it stopped; so does the next pull after one that was given up
// or died with the process. NotFound when the registry has no such
// image, or the image no such platform, or access is denied — registries do
// not tell which; InvalidArgument for a malformed reference; DataLoss when the
// registry serves something else than it announced; NotImplemented for formats of
// the past.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions, send func(jsonstream.Message) error) error {
	parsed, err := catalog.ParseRef(ref)
	if err != nil {
		return err
	}
	named, ok := parsed.(reference.Named)
	if !ok {
		return errdefs.ErrInvalidArgument.WithMessage("invalid reference format: an ID cannot be pulled")
	}
	ctx = s.context(ctx)
	hosts, err := s.cfg.Registries.Hosts(ctx, named, o.Auth)
	if err != nil {
		return err
	}
	p := &pull{s: s, hosts: hosts, platform: o.Platform, send: send}
	if !o.All {
		return p.image(ctx, canonicalRef(named))
	}
	repo := reference.TrimNamed(named)
	tags, err := remote.Tags(ctx, hosts, repo)
	if err != nil {
		return remote.PullError(err, repo)
	}
	for _, tag := range tags {
		tagged, err := reference.WithTag(repo, tag)
		if err != nil {
			s.log.Debug("images: registry lists an invalid tag", "repository", repo.Name())
			continue
		}
		if err := p.image(ctx, tagged); err != nil {
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

// pull is what the images of one Pull share.
type pull struct {
	s        *Store
	hosts    docker.RegistryHosts
	platform *ocispec.Platform
	send     func(jsonstream.Message) error
}

// image fetches and names one of them.
func (p *pull) image(ctx context.Context, ref reference.Named) (err error) {
	s := p.s
	ctx, done, err := s.keeper.Resumable(ctx, ref.String())
	if err != nil {
		return err
	}
	var failed error // before it is put into words
	defer func() {
		done(cmp.Or(failed, err))
		if err == nil {
			discarded(ctx, s, false, []string{ref.String()})
		}
	}()
	fctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := progress.New(p.send, cancel)
	desc, failed := p.fetch(fctx, ref, out)
	if failed != nil {
		return remote.PullError(failed, ref)
	}
	out.Finish()
	newer := s.catalog.View().Names[ref.String()] != desc.Digest
	err = s.point(ctx, true, func(ctx context.Context) ([]string, error) {
		return s.names.set(ctx, ref.String(), desc)
	})
	if err != nil {
		return err
	}
	t := s.catalog.View().Targets[desc.Digest]
	if err := s.layers.Discard(ctx, t); err != nil {
		return err
	}
	s.cfg.publish(events.ActionPull, reference.FamiliarString(ref), reference.FamiliarName(ref), t.Labels())
	out.Message("", "Digest: "+desc.Digest.String())
	status := "Status: Image is up to date for "
	if newer {
		status = "Status: Downloaded newer image for "
	}
	out.Message("", status+reference.FamiliarString(ref))
	return nil
}
