package catalog

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AttestationOptions select statements.
type AttestationOptions struct {
	Platform *ocispec.Platform // whose image they are about; nil as of Resolve
	Types    []string          // of predicates; none selects all
	Bodies   bool              // the statements themselves, too
}

const (
	MediaTypeInToto         = "application/vnd.in-toto+json"
	AnnotationPredicateType = "in-toto.io/predicate-type"
)

// maxStatement bounds a statement in bytes: lists of all that is in an image can
// be long.
const maxStatement = 16 << 20

// AttestationOf is the manifest that a member of an index is an attestation of, "" if
// it is none.
func AttestationOf(member ocispec.Descriptor) digest.Digest {
	if member.Annotations[AnnotationReferenceType] != "attestation-manifest" {
		return ""
	}
	return digest.Digest(member.Annotations[AnnotationReferenceDigest])
}

// Attestations tells what builders state about an image, as far as it is here: an
// image pulled by the digest of its manifest comes without. Errors as of Resolve; InvalidArgument for a
// statement that is too long or no JSON.
func (x *Catalog) Attestations(ctx context.Context, ref string, o AttestationOptions) ([]image.AttestationStatement, error) {
	out := []image.AttestationStatement{}
	t, _, err := x.View().Lookup(ref)
	if err != nil {
		return nil, err
	}
	m, err := t.Pick(ref, o.Platform)
	if err != nil {
		return nil, err
	}
	ctx, store := namespaces.WithNamespace(ctx, x.namespace), x.client.ContentStore()
	for _, a := range t.Manifests {
		if a.Kind != image.ManifestKindAttestation || a.Attests != m.Desc.Digest || !a.Available {
			continue
		}
		children, err := blob.Children(ctx, store, a.Desc)
		if err != nil {
			return nil, err
		}
		for _, c := range children {
			one := image.AttestationStatement{Descriptor: owned(c), PredicateType: c.Annotations[AnnotationPredicateType]}
			if c.MediaType != MediaTypeInToto || len(o.Types) > 0 && !slices.Contains(o.Types, one.PredicateType) {
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
