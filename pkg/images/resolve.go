package images

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Resolve finds a local image by name, digest, ID or ID prefix and picks the
// manifest for platform p (nil: the host's, or else the first that is here).
// It returns the image's ID, the chain ID that containers stand on ("" for an
// image without layers) and its configuration, which the caller may change.
//
// The layers are unpacked when it returns; if they were before, nothing but
// memory is read. NotFound: "No such image: x:latest", or the platform is not
// provided. InvalidArgument: not a reference.
func (s *Store) Resolve(ctx context.Context, ref string, p *ocispec.Platform) (id string, chainID digest.Digest, img *dockerspec.DockerOCIImage, err error) {
	t, _, err := s.index.view().lookup(ref)
	if err != nil {
		return "", "", nil, err
	}
	m, err := t.pick(ref, p)
	if err != nil {
		return "", "", nil, err
	}
	if !m.ready() {
		if err := s.unpackHere(ctx, t, m); err != nil {
			return "", "", nil, fmt.Errorf("unpack image %s: %w", ref, err)
		}
	}
	s.uses.note(t.desc.Digest)
	return t.desc.Digest.String(), m.chainID(), clone(m.config), nil
}

// Manifest describes the manifest that Resolve picks for the same arguments, with
// its platform. NotFound and InvalidArgument are as there.
func (s *Store) Manifest(ref string, p *ocispec.Platform) (ocispec.Descriptor, error) {
	t, _, err := s.index.view().lookup(ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	m, err := t.pick(ref, p)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := owned(m.desc)
	if desc.Platform == nil {
		desc.Platform = owned(ocispec.Descriptor{Platform: &m.platform}).Platform
	}
	return desc, nil
}

// pick chooses the manifest to run or describe. It has a configuration.
func (t *target) pick(ref string, p *ocispec.Platform) (*manifest, error) {
	if m := t.best(p); m != nil {
		return m, nil
	}
	if p == nil {
		return nil, notFound("image with reference %s has no content here that could be run", ref)
	}
	return nil, notFound("image with reference %s was found but does not provide the specified platform (%s)", ref, platforms.FormatAll(*p))
}

// best returns the manifest for p; for nil, the best for the host, or else the
// first. It is nil if none with a configuration is here.
func (t *target) best(p *ocispec.Platform) *manifest {
	order := host()
	if p != nil {
		order = platforms.OnlyStrict(*p)
	}
	var best *manifest
	for _, m := range t.manifests {
		if m.kind != image.ManifestKindImage || m.config == nil {
			continue
		}
		matches := order.Match(m.platform)
		switch {
		case p != nil && !matches:
		case best == nil,
			matches && !order.Match(best.platform),
			matches && order.Less(m.platform, best.platform):
			best = m
		}
	}
	return best
}

// host orders platforms by what this machine runs best.
var host = sync.OnceValue(platforms.Default)

// truncatedID is what may be an ID or the beginning of one.
var truncatedID = regexp.MustCompile(`^(?:sha256:)?([a-f0-9]{4,64})$`)

// lookup finds a target by what a user may call it. name is the containerd
// name that was matched, "" when it was found by ID or digest. Errors as of
// Resolve.
func (v *view) lookup(ref string) (t *target, name string, err error) {
	parsed, err := parseRef(ref)
	if err != nil {
		return nil, "", err
	}
	if digested, ok := parsed.(reference.Digested); ok {
		t, ok := v.targets[digested.Digest()]
		if !ok {
			return nil, "", noSuchImage(parsed)
		}
		named, ok := parsed.(reference.Named)
		if !ok {
			return t, "", nil
		}
		// The digest alone does not suffice: asdf@sha256:… is not busybox@sha256:….
		for _, img := range t.names {
			if n, err := reference.ParseNormalizedNamed(img.Name); err == nil && n.Name() == named.Name() {
				return t, img.Name, nil
			}
		}
		return nil, "", noSuchImage(parsed)
	}
	full := reference.TagNameOnly(parsed.(reference.Named)).String()
	if id, ok := v.names[full]; ok {
		return v.targets[id], full, nil
	}
	if match := truncatedID.FindStringSubmatch(ref); match != nil {
		return v.byPrefix(match[1], parsed)
	}
	// Names that other clients made need not be canonical.
	if id, ok := v.names[ref]; ok {
		return v.targets[id], ref, nil
	}
	return nil, "", noSuchImage(parsed)
}

func (v *view) byPrefix(hex string, parsed reference.Reference) (*target, string, error) {
	var found *target
	for id, t := range v.targets {
		if id.Algorithm() != digest.SHA256 || !strings.HasPrefix(id.Encoded(), hex) {
			continue
		}
		if found != nil {
			return nil, "", notFound("ambiguous reference")
		}
		found = t
	}
	if found == nil {
		return nil, "", noSuchImage(parsed)
	}
	return found, "", nil
}

// maxReference bounds references before they are parsed; names are at most 255
// characters long, tags 128, digests shorter.
const maxReference = 1024

// parseRef parses a name, digest or ID. The result is Named, Digested or both.
func parseRef(ref string) (reference.Reference, error) {
	if len(ref) > maxReference {
		return nil, errdefs.ErrInvalidArgument.WithMessage("invalid reference format: too long")
	}
	parsed, err := reference.ParseAnyReference(ref)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	if _, ok := parsed.(reference.Named); ok {
		return parsed, nil
	}
	if _, ok := parsed.(reference.Digested); ok {
		return parsed, nil
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage("invalid reference format")
}

func notFound(format string, args ...any) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(format, args...))
}

func noSuchImage(parsed reference.Reference) error {
	text := parsed.String()
	if named, ok := parsed.(reference.Named); ok {
		text = reference.FamiliarString(reference.TagNameOnly(named))
	}
	return notFound("No such image: %s", text)
}

// danglingPrefix names images without a name, as dockerd's image store does.
const danglingPrefix = "moby-dangling@"

func danglingName(id digest.Digest) string { return danglingPrefix + id.String() }

func isDangling(img images.Image) bool { return img.Name == danglingName(img.Target.Digest) }

// familiar is a containerd name as users write it.
func familiar(name string) string {
	if named, err := reference.ParseNamed(name); err == nil {
		return reference.FamiliarString(named)
	}
	return name
}

// tagsAndDigests are the RepoTags and RepoDigests of a target; never nil.
func (t *target) tagsAndDigests() (tags, digests []string) {
	tags, digests = []string{}, []string{}
	seen := map[string]struct{}{}
	for _, img := range t.names {
		if isDangling(img) {
			continue
		}
		named, err := reference.ParseNamed(img.Name)
		if err != nil {
			tags = append(tags, img.Name)
			continue
		}
		if _, ok := named.(reference.Digested); ok {
			seen[reference.FamiliarString(named)] = struct{}{}
			continue
		}
		tags = append(tags, reference.FamiliarString(named))
		if d, err := reference.WithDigest(reference.TrimNamed(named), t.desc.Digest); err == nil {
			seen[reference.FamiliarString(d)] = struct{}{}
		}
	}
	return tags, append(digests, slices.Sorted(maps.Keys(seen))...)
}
