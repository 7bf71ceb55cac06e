// Package build has the routes of builds: BuildKit's own protocols, the classic
// endpoint and the cache.
package build

import (
	"context"
	"net"
)

// Backend is what the routes need of the builder. *build.Builder satisfies it.
type Backend interface {
	// Serve speaks BuildKit's control API on conn until one side leaves.
	Serve(ctx context.Context, conn net.Conn) error
	// Session keeps a client's session until it leaves; header is the request's.
	Session(ctx context.Context, conn net.Conn, header map[string][]string) error
}
