// Package build has the routes of builds: BuildKit's own protocols, the classic
// endpoint and the cache.
package build

import (
	"context"
	"io"
	"net"

	"github.com/berth-engine/berth/pkg/build"
	"github.com/berth-engine/berth/pkg/build/classic"
	types "github.com/moby/moby/api/types/build"
)

// Backend is what the routes need.
type Backend struct {
	Builder Builder
	Classic Classic
}

// Builder is BuildKit. *build.Builder satisfies it.
type Builder interface {
	// Serve speaks BuildKit's control API on conn until one side leaves.
	Serve(ctx context.Context, conn net.Conn) error
	// Session keeps a client's session until it leaves; header is the request's.
	Session(ctx context.Context, conn net.Conn, header map[string][]string) error
	Prune(ctx context.Context, o build.PruneOptions) (types.CachePruneReport, error)
}

// Classic builds as the first builder did. *classic.Builds satisfies it.
type Classic interface {
	// Build sends the answer's messages. Errors of the request come before the first.
	Build(ctx context.Context, r classic.Request, body io.Reader, send classic.Send) error
	Cancel(id string) error
}
