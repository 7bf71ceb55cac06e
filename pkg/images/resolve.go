package images

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/images/catalog"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Resolved is an image that containers can be made of. Whoever gets it may change it.
type Resolved struct {
	ID       string
	Manifest ocispec.Descriptor // that was picked, with its platform
	Chain    digest.Digest      // what containers stand on; "" without layers
	Config   *dockerspec.DockerOCIImage
}

// Resolve finds a local image by name, digest, ID or ID prefix and picks the
// manifest for platform p (nil: the host's, or else the first that is here).
//
// The layers are unpacked when it returns; if they were before, nothing but
// memory is read. NotFound: "No such image: x:latest", or the platform is not
// provided. InvalidArgument: not a reference.
func (s *Store) Resolve(ctx context.Context, ref string, p *ocispec.Platform) (Resolved, error) {
	t, _, err := s.catalog.View().Lookup(ref)
	if err != nil {
		return Resolved{}, err
	}
	m, err := t.Pick(ref, p)
	if err != nil {
		return Resolved{}, err
	}
	if !m.Ready() {
		if err := s.unpackHere(ctx, t, m); err != nil {
			return Resolved{}, fmt.Errorf("unpack image %s: %w", ref, err)
		}
	}
	s.uses.note(t.Desc.Digest)
	return Resolved{ID: t.Desc.Digest.String(), Manifest: m.Described(), Chain: m.ChainID(), Config: catalog.Clone(m.Config)}, nil
}
