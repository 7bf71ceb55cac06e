// Package system serves what concerns the daemon as a whole: ping, version,
// info and events.
package system

import (
	"context"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"
)

// Backend is what the routes need of the daemon.
type Backend interface {
	Info(ctx context.Context) (system.Info, error)
	Version(ctx context.Context) (system.VersionResponse, error)
	// Usage gives all items of the kinds; none is all kinds.
	Usage(ctx context.Context, kinds []system.DiskUsageObject) (system.DiskUsage, error)
	// Events calls registered once no event can be missed any more, then each
	// for every event from since on (zero: from now on) until until (zero: for
	// ever), ctx or an error of each ends it. When until has passed it returns
	// after the past events. A wrong filter is an error before registered.
	Events(ctx context.Context, since, until time.Time, f filters.Args, registered func(), each func(events.Message) error) error
}

// Ping is what GET /_ping tells in its headers.
type Ping struct {
	// Builder is the one that clients should use: "1" is the classic one, "2"
	// BuildKit; "" says nothing.
	Builder string
}
