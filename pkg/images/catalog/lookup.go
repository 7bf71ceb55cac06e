package catalog

import (
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
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pick chooses the manifest to run or describe. It has a configuration.
func (t *Target) Pick(ref string, p *ocispec.Platform) (*Manifest, error) {
	if m := t.Best(p); m != nil {
		return m, nil
	}
	if p == nil {
		return nil, notFound("image with reference %s has no content here that could be run", ref)
	}
	return nil, notFound("image with reference %s was found but does not provide the specified platform (%s)", ref, platforms.FormatAll(*p))
}

// Best returns the manifest for p; for nil, the best for the host, or else the
// first. It is nil if none with a configuration is here.
func (t *Target) Best(p *ocispec.Platform) *Manifest {
	order := Host()
	if p != nil {
		order = platforms.OnlyStrict(*p)
	}
	var best *Manifest
	for _, m := range t.Manifests {
		if m.Kind != image.ManifestKindImage || m.Config == nil {
			continue
		}
		matches := order.Match(m.Platform)
		switch {
		case p != nil && !matches:
		case best == nil,
			matches && !order.Match(best.Platform),
			matches && order.Less(m.Platform, best.Platform):
			best = m
		}
	}
	return best
}

// Host orders platforms by what this machine runs best.
var Host = sync.OnceValue(platforms.Default)

// truncatedID is what may be an ID or the beginning of one.
var truncatedID = regexp.MustCompile(`^(?:sha256:)?([a-f0-9]{4,64})$`)

// Lookup finds a target by what a user may call it. name is the containerd
// name that was matched, "" when it was found by ID or digest. Errors as of
// Resolve.
func (v *View) Lookup(ref string) (t *Target, name string, err error) {
	parsed, err := ParseRef(ref)
	if err != nil {
		return nil, "", err
	}
	if digested, ok := parsed.(reference.Digested); ok {
		t, ok := v.Targets[digested.Digest()]
		if !ok {
			return nil, "", noSuchImage(parsed)
		}
		named, ok := parsed.(reference.Named)
		if !ok {
			return t, "", nil
		}
		// The digest alone does not suffice: asdf@sha256:… is not busybox@sha256:….
		for _, img := range t.Names {
			if n, err := reference.ParseNormalizedNamed(img.Name); err == nil && n.Name() == named.Name() {
				return t, img.Name, nil
			}
		}
		return nil, "", noSuchImage(parsed)
	}
	full := reference.TagNameOnly(parsed.(reference.Named)).String()
	if id, ok := v.Names[full]; ok {
		return v.Targets[id], full, nil
	}
	if match := truncatedID.FindStringSubmatch(ref); match != nil {
		return v.byPrefix(match[1], parsed)
	}
	// Names that other clients made need not be canonical.
	if id, ok := v.Names[ref]; ok {
		return v.Targets[id], ref, nil
	}
	return nil, "", noSuchImage(parsed)
}

func (v *View) byPrefix(hex string, parsed reference.Reference) (*Target, string, error) {
	var found *Target
	for id, t := range v.Targets {
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

// ParseRef parses a name, digest or ID. The result is Named, Digested or both.
func ParseRef(ref string) (reference.Reference, error) {
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

// DanglingPrefix names images without a name, as dockerd's image store does.
const DanglingPrefix = "moby-dangling@"

// DanglingName is what an image without a name of its own is kept under.
func DanglingName(id digest.Digest) string { return DanglingPrefix + id.String() }

// IsDangling says whether a record is not a name that anyone gave.
func IsDangling(img images.Image) bool { return img.Name == DanglingName(img.Target.Digest) }

// Familiar is a containerd name as users write it.
func Familiar(name string) string {
	if named, err := reference.ParseNamed(name); err == nil {
		return reference.FamiliarString(named)
	}
	return name
}

// tagsAndDigests are the RepoTags and RepoDigests of a target; never nil.
func (t *Target) tagsAndDigests() (tags, digests []string) {
	tags, digests = []string{}, []string{}
	seen := map[string]struct{}{}
	for _, img := range t.Names {
		if IsDangling(img) {
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
		if d, err := reference.WithDigest(reference.TrimNamed(named), t.Desc.Digest); err == nil {
			seen[reference.FamiliarString(d)] = struct{}{}
		}
	}
	return tags, append(digests, slices.Sorted(maps.Keys(seen))...)
}

// Labels are those of the target's preferred image; shared, not to be changed.
func (t *Target) Labels() map[string]string {
	if t == nil || t.Preferred == nil {
		return nil
	}
	return t.Preferred.Config.Config.Labels
}
