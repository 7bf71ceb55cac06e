package images

import (
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// PullOptions says how to pull.
type PullOptions struct {
	// All pulls every tag of the repository.
	All bool
	// Platform to pull; nil is the host's.
	Platform *ocispec.Platform
	// Auth holds the credentials that the client sent; nil is anonymous.
	Auth *registry.AuthConfig
}

// PushOptions says what to push.
type PushOptions struct {
	// Platform whose manifest is pushed instead of the index; nil is the whole.
	Platform *ocispec.Platform
	// Auth holds the credentials that the client sent; nil is anonymous.
	Auth *registry.AuthConfig
}
