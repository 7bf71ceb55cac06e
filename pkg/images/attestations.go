package images

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// AttestationOptions select statements.
type AttestationOptions struct {
	Platform *ocispec.Platform // whose image they are about; nil as of Resolve
	Types    []string          // of predicates; none selects all
	Bodies   bool              // the statements themselves, too
}

const (
	mediaTypeInToto         = "application/vnd.in-toto+json"
	annotationPredicateType = "in-toto.io/predicate-type"
)

// maxStatement bounds a statement in bytes: lists of all that is in an image can
// be long.
const maxStatement = 16 << 20

// attested is the manifest that a member of an index is an attestation of, "" if
// it is none.
func attested(member ocispec.Descriptor) digest.Digest {
	if member.Annotations[annotationReferenceType] != "attestation-manifest" {
		return ""
	}
	return digest.Digest(member.Annotations[annotationReferenceDigest])
}

// statements fetches what builders state about the manifest that was picked: it
// belongs to the image, but there is nothing to unpack. A registry that lacks it, as
// mirrors and copies of single platforms do, does not make the pull fail.
func (f *fetch) statements(ctx context.Context) error {
	limit := semaphore.NewWeighted(int64(f.s.cfg.Transfers.Downloads))
	return images.Dispatch(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := f.document(ctx, desc)
		if errdefs.IsNotFound(err) {
			f.s.log.Debug("images: the registry lacks an attestation", "reference", f.ref, "digest", desc.Digest)
			return nil, images.ErrSkipDesc
		}
		for i, c := range children {
			children[i] = bare(c)
		}
		return children, err
	}), limit, f.attests...)
}

// Attestations tells what builders state about an image, as far as it is here: an
// image pulled by the digest of its manifest comes without. Errors as of Resolve; InvalidArgument for a
// statement that is too long or no JSON.
func (s *Store) Attestations(ctx context.Context, ref string, o AttestationOptions) ([]image.AttestationStatement, error) {
	out := []image.AttestationStatement{}
	t, _, err := s.index.view().lookup(ref)
	if err != nil {
		return nil, err
	}
	m, err := t.pick(ref, o.Platform)
	if err != nil {
		return nil, err
	}
	ctx, done, err := s.keeper.lease(s.context(ctx))
	if err != nil {
		return nil, err
	}
	defer done(true)
	if err := s.keeper.hold(ctx, t.desc.Digest); err != nil {
		return nil, err
	}
	store := s.client.ContentStore()
	for _, a := range t.manifests {
		if a.kind != image.ManifestKindAttestation || a.attests != m.desc.Digest || !a.available {
			continue
		}
		children, err := blob.Children(ctx, store, a.desc)
		if err != nil {
			return nil, err
		}
		for _, c := range children {
			one := image.AttestationStatement{Descriptor: owned(c), PredicateType: c.Annotations[annotationPredicateType]}
			if c.MediaType != mediaTypeInToto || len(o.Types) > 0 && !slices.Contains(o.Types, one.PredicateType) {
				continue
			}
			if o.Bodies {
				one.Statement = new(json.RawMessage)
				if err := blob.JSON(ctx, store, c, maxStatement, one.Statement); err != nil {
					return nil, err
				}
			}
			out = append(out, one)
		}
	}
	return out, nil
}
