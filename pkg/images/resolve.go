package images

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/images/catalog"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
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
	t, _, err := s.catalog.View().Lookup(ref)
	if err != nil {
		return "", "", nil, err
	}
	m, err := t.Pick(ref, p)
	if err != nil {
		return "", "", nil, err
	}
	if !m.Ready() {
		if err := s.unpackHere(ctx, t, m); err != nil {
			return "", "", nil, fmt.Errorf("unpack image %s: %w", ref, err)
		}
	}
	s.uses.note(t.Desc.Digest)
	return t.Desc.Digest.String(), m.ChainID(), catalog.Clone(m.Config), nil
}
