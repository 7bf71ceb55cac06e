// Package registry serves what is asked of registries without moving an image:
// log-in, search, and what a name stands for.
package registry

import (
	"context"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/moby/moby/api/types/registry"
)

// Backend is what the routes need. auth is nil for anonymous.
type Backend interface {
	Login(ctx context.Context, auth registry.AuthConfig) (registry.AuthResponse, error)
	Search(ctx context.Context, term string, limit int, auth *registry.AuthConfig, f filters.Args) ([]registry.SearchResult, error)
	Distribution(ctx context.Context, ref string, auth *registry.AuthConfig) (registry.DistributionInspect, error)
}
