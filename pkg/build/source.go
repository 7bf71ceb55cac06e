package build

import (
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/containerimage"
	"github.com/moby/buildkit/util/resolver"
)

// localFirst looks for an image here before it asks a registry, as Docker's
// builder always did: BuildKit by itself would do the reverse.
type localFirst struct{ *containerimage.Source }

func (s localFirst) Identifier(scheme, ref string, attrs map[string]string, platform *pb.Platform) (source.Identifier, error) {
	id, err := s.Source.Identifier(scheme, ref, attrs, platform)
	if img, ok := id.(*containerimage.ImageIdentifier); ok && img.ResolveMode == resolver.ResolveModeDefault {
		img.ResolveMode = resolver.ResolveModePreferLocal
	}
	return id, err
}

func isDefault(mode string) bool {
	m, err := resolver.ParseImageResolveMode(mode)
	return err == nil && m == resolver.ResolveModeDefault
}
