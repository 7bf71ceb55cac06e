// Package networks serves /networks.
package networks

import (
	"context"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/moby/moby/api/types/network"
)

// Backend is what the routes need of the networks. Its answers come from
// memory and belong to the caller.
type Backend interface {
	List(f filters.Args) ([]network.Summary, error)
	// Inspect finds a network by name, ID or ID prefix; scope, when not "",
	// must be its own.
	Inspect(ref string, verbose bool, scope string) (network.Inspect, error)
	Create(ctx context.Context, q network.CreateRequest) (network.CreateResponse, error)
	Remove(ctx context.Context, ref string) error
	Prune(ctx context.Context, f filters.Args) (network.PruneReport, error)
}

// Containers is what the routes need of the engine.
type Containers interface {
	// Connect gives a container an endpoint; settings may be nil.
	Connect(ctx context.Context, network, container string, settings *network.EndpointSettings) error
	Disconnect(ctx context.Context, network, container string, force bool) error
}
