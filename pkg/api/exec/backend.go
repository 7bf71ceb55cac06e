// Package exec serves /exec and /containers/{id}/exec: processes that are
// added to running containers.
package exec

import (
	"context"

	"github.com/berth-engine/berth/pkg/engine"
	"github.com/moby/moby/api/types/container"
)

// Backend is what the routes need of the engine. id is an exec's full ID.
type Backend interface {
	ExecCreate(ctx context.Context, ref string, r container.ExecCreateRequest) (string, error)
	// ExecStart runs it; attached, it calls open once the exec is known to be
	// startable and returns after the streams have ended.
	ExecStart(ctx context.Context, id string, o engine.ExecStartOptions, open engine.OpenConn) error
	ExecInspect(ctx context.Context, id string) (container.ExecInspectResponse, error)
	ExecResize(ctx context.Context, id string, height, width uint32) error
}
