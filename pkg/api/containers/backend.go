// Package containers serves /containers: it turns requests into calls of the
// engine, and the engine's answers into the shape that the client's API
// version has. convert.go and create_convert.go hold all that depends on the
// version.
package containers

import (
	"context"
	"io"

	"github.com/berth-engine/berth/pkg/engine"
	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/moby/moby/api/types/checkpoint"
	"github.com/moby/moby/api/types/container"
)

// Backend is what the routes need of the engine, family by family: they need
// not be one object's. ref is a name, an ID or an ID prefix.
type Backend struct {
	Registry
	Lifecycle
	Freezer
	Reader
	Streamer
	Watcher
	Archiver
	Differ
	Checkpoints Checkpointer
}

// Registry keeps containers.
type Registry interface {
	Create(ctx context.Context, r engine.CreateRequest) (container.CreateResponse, error)
	Rename(ctx context.Context, ref, newName string) error
	Update(ctx context.Context, ref string, c *container.UpdateConfig) (container.UpdateResponse, error)
	Remove(ctx context.Context, ref string, o engine.RemoveOptions) error
	Prune(ctx context.Context, f filters.Args) (container.PruneReport, error)
}

// Lifecycle runs them. Start and Stop give NotModified when there is nothing
// to do.
type Lifecycle interface {
	Start(ctx context.Context, ref string) error
	Stop(ctx context.Context, ref string, o engine.StopOptions) error
	Restart(ctx context.Context, ref string, o engine.StopOptions) error
	Kill(ctx context.Context, ref, signal string) error
	// Wait calls registered, if the container exists, before it blocks.
	Wait(ctx context.Context, ref string, c container.WaitCondition, registered func()) (container.WaitResponse, error)
}

// Freezer stops them in their tracks.
type Freezer interface {
	Pause(ctx context.Context, ref string) error
	Unpause(ctx context.Context, ref string) error
}

// Reader tells of them. What it returns belongs to the caller.
type Reader interface {
	List(ctx context.Context, o engine.ListOptions) ([]container.Summary, error)
	Inspect(ctx context.Context, ref string, size bool) (container.InspectResponse, error)
}

// Watcher looks at what they do.
type Watcher interface {
	// Top runs ps with options, separated by spaces.
	Top(ctx context.Context, ref, options string) (container.TopResponse, error)
	Stats(ctx context.Context, ref string, o engine.StatsOptions, send func(container.StatsResponse) error) error
}

// Streamer moves their bytes. It calls open once the request is accepted, and
// writes ready-framed bytes then.
type Streamer interface {
	Logs(ctx context.Context, ref string, o engine.LogsOptions, open engine.OpenWriter) error
	Attach(ctx context.Context, ref string, o engine.AttachOptions, open engine.OpenConn) error
	Resize(ctx context.Context, ref string, height, width uint32) error
}

// Archiver moves files in and out of them.
type Archiver interface {
	Stat(ctx context.Context, ref, path string) (container.PathStat, error)
	ReadArchive(ctx context.Context, ref, path string, open func(container.PathStat) (io.Writer, error)) error
	WriteArchive(ctx context.Context, ref, path string, o contents.WriteOptions, archive io.Reader) error
}

// Differ tells and keeps what they changed.
type Differ interface {
	Changes(ctx context.Context, ref string) ([]container.FilesystemChange, error)
	Export(ctx context.Context, ref string, open func() (io.Writer, error)) error
	Commit(ctx context.Context, ref string, o contents.CommitOptions) (id string, err error)
}

// Checkpointer keeps what their processes are, and has them go on from there. dir is
// where, "" the container's own folder.
type Checkpointer interface {
	Create(ctx context.Context, ref string, r checkpoint.CreateRequest) error
	List(ctx context.Context, ref, dir string) ([]checkpoint.Summary, error)
	Remove(ctx context.Context, ref, dir, id string) error
	// Restore starts a container so, and fails as Start does.
	Restore(ctx context.Context, ref, dir, id string) error
}
