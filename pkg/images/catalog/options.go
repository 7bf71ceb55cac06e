package catalog

import (
	"github.com/berth-engine/berth/pkg/filters"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ListOptions selects images and what is told of each.
type ListOptions struct {
	// All is accepted for Docker's sake. It used to show the intermediate
	// images of the classic builder, which a containerd image store never has.
	All bool
	// SharedSize fills in Summary.SharedSize (bytes); else it is -1.
	SharedSize bool
	// Manifests fills in Summary.Manifests, one entry per manifest of an index.
	Manifests bool
	// Filters: dangling, reference, label, label!, before, since, until.
	// Unknown ones are InvalidArgument.
	Filters filters.Args
}

// InspectOptions selects what of a (multi-platform) image is inspected.
type InspectOptions struct {
	// Platform to describe; nil is the host's, or else any that is present.
	// NotFound when the image has no such platform locally.
	Platform *ocispec.Platform
	// Manifests fills in InspectResponse.Manifests.
	Manifests bool
}
