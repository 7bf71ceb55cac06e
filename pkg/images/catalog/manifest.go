package catalog

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifest describes the manifest that Resolve picks for the same arguments, with
// its platform. NotFound and InvalidArgument are as there.
func (x *Catalog) Manifest(ref string, p *ocispec.Platform) (ocispec.Descriptor, error) {
	t, _, err := x.View().Lookup(ref)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	m, err := t.Pick(ref, p)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := owned(m.Desc)
	if desc.Platform == nil {
		desc.Platform = owned(ocispec.Descriptor{Platform: &m.Platform}).Platform
	}
	return desc, nil
}
