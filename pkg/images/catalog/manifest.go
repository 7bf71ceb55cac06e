package catalog

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Described is the manifest's descriptor with its platform, which its index need not
// name.
func (m *Manifest) Described() ocispec.Descriptor {
	desc := owned(m.Desc)
	if desc.Platform == nil {
		desc.Platform = owned(ocispec.Descriptor{Platform: &m.Platform}).Platform
	}
	return desc
}
