// Package volumes serves /volumes, and /berth/volumes, which is Berth's own.
package volumes

import (
	"context"
	"io"

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

// Backups copy whole volumes. With pause the containers that have a volume stand
// still meanwhile.
type Backups interface {
	Export(ctx context.Context, name string, pause bool, open func() (io.Writer, error)) error
	Import(ctx context.Context, name string, replace bool, archive io.Reader) (volume.Volume, error)
	Snapshot(ctx context.Context, name, as string, pause bool) (volume.Volume, error)
	Restore(ctx context.Context, name, from string) error
}
