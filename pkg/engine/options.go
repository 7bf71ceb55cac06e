package engine

import (
	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/output"
	"github.com/berth-engine/berth/pkg/engine/query"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/engine/stats"
)

// CreateRequest is the body and query of POST /containers/create.
type CreateRequest = request.Create

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
type LogsOptions = output.LogsOptions

// StatsOptions are those of GET /containers/{id}/stats.
type StatsOptions = stats.Options

// AttachOptions are those of POST /containers/{id}/attach.
type AttachOptions = output.AttachOptions

// ExecStartOptions are those of POST /exec/{id}/start.
type ExecStartOptions = exec.StartOptions

// Conn is a client's connection that a stream took over.
type Conn = attach.Conn

// OpenConn takes over the client's connection once the request is accepted;
// tty says which of Docker's two stream formats follows. An error that comes
// before it is called can still be answered with a status.
type OpenConn = attach.OpenConn

// OpenWriter begins a streamed answer in the same way.
type OpenWriter = output.OpenWriter
