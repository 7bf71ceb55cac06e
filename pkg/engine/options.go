package engine

import (
	"io"
	"time"

	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/query"
	"github.com/berth-engine/berth/pkg/engine/stats"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CreateRequest is the body and query of POST /containers/create.
type CreateRequest struct {
	Name             string // "" lets the engine choose
	Platform         *ocispec.Platform
	Config           *container.Config
	HostConfig       *container.HostConfig
	NetworkingConfig *network.NetworkingConfig
}

// StopOptions are those of stop and restart.
type StopOptions struct {
	Signal  string // "" is the container's own stop signal
	Timeout *int   // seconds; nil is the container's own, -1 waits without end
}

// RemoveOptions are those of DELETE /containers/{id}.
type RemoveOptions struct {
	Force   bool
	Volumes bool // anonymous volumes go as well
	Link    bool
}

// ListOptions are those of GET /containers/json.
type ListOptions = query.ListOptions

// LogsOptions are those of GET /containers/{id}/logs.
type LogsOptions struct {
	Stdout, Stderr bool
	Follow         bool
	Timestamps     bool
	Details        bool
	Since, Until   time.Time
	Tail           int // lines from the end; -1 is all
}

// StatsOptions are those of GET /containers/{id}/stats.
type StatsOptions = stats.Options

// AttachOptions are those of POST /containers/{id}/attach.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	Stream                bool // follow live output
	Logs                  bool // replay the log first
	DetachKeys            string
}

// ExecStartOptions are those of POST /exec/{id}/start.
type ExecStartOptions = exec.StartOptions

// Conn is a client's connection that a stream took over.
type Conn = attach.Conn

// OpenConn takes over the client's connection once the request is accepted;
// tty says which of Docker's two stream formats follows. An error that comes
// before it is called can still be answered with a status.
type OpenConn = attach.OpenConn

// OpenWriter begins a streamed answer in the same way.
type OpenWriter func(tty bool) (io.Writer, error)
