// Package volumes serves /volumes.
package volumes

import (
	"context"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/moby/moby/api/types/volume"
)

// Backend is what the routes need of the volumes.
type Backend interface {
	List(f filters.Args) ([]volume.Volume, error)
	Inspect(name string) (volume.Volume, error)
	// Create gives a volume that exists as it is.
	Create(ctx context.Context, r volume.CreateRequest) (volume.Volume, error)
	Remove(ctx context.Context, name string, force bool) error
	Prune(ctx context.Context, f filters.Args) (volume.PruneReport, error)
}
