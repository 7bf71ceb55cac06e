// Package engine is the containers: their lifecycle, supervision, streams and
// execs. Each container has one owner goroutine that every change goes through;
// readers get snapshots from memory and wait for nobody. What a user asked for is
// committed before the answer; what runs is containerd's truth, learned by
// events and, at boot, by looking (recover.go).
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// Config is what New needs. Every field is required unless it says otherwise.
type Config struct {
	DataRoot   string // containers' folders are below it
	ExecRoot   string // stream sockets are below it
	Init       string // absolute path of berth-init
	Runtime    string // default OCI runtime's name, as `info` shows it
	Runtimes   []string
	LogConfig  ctypes.LogConfig // of containers that do not say
	UseInit    bool             // --init for containers that do not say
	Host       spec.Host
	Tasks      Tasks
	Images     Images
	Networks   Networks
	Volumes    Volumes
	Store      Store
	Events     Publisher
	Logger     *slog.Logger
	FaultPoint func(name string) // optional: called at each step whose interruption tests cover
}

// Engine owns every container of one data root.
type Engine struct {
	Config
	units   *registry
	execs   *execs
	persist *persister

	stop    context.CancelFunc // ends the background work
	workers sync.WaitGroup
}

// New recovers what the data root holds (see recover.go) and begins to
// supervise. Close ends that; containers go on.
func New(ctx context.Context, c Config) (*Engine, error) {
	for _, dir := range []string{filepath.Join(c.DataRoot, "containers"), filepath.Join(c.ExecRoot, "io")} {
		if err := os.MkdirAll(dir, 0o710); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
	}
	if c.FaultPoint == nil {
		c.FaultPoint = func(string) {}
	}
	e := &Engine{Config: c, units: newRegistry(), execs: newExecs()}
	e.persist = newPersister(c.Store, e.units.get, c.Logger)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	// Subscribed before the look around: an exit in between is seen twice
	// rather than never.
	events := c.Tasks.Events(run)
	if err := e.recover(ctx); err != nil {
		e.Close()
		return nil, fmt.Errorf("engine: recovery: %w", err)
	}
	e.workers.Go(func() { e.dispatch(run, events) })
	return e, nil
}

// Close waits for what is under way, writes what is behind and returns. What
// runs goes on running.
func (e *Engine) Close() {
	e.stop()
	e.workers.Wait()
	units := e.units.all()
	for _, u := range units {
		u.owner.Close(errdefs.ErrUnavailable.WithMessage("the engine is shutting down"))
	}
	for _, u := range units {
		u.owner.Wait()
	}
	e.persist.close()
}

// Counts says how many containers are running (waiting to be restarted is
// running, too), paused and stopped.
func (e *Engine) Counts() (running, paused, stopped int) {
	for _, u := range e.units.all() {
		switch s := u.view().status; {
		case s.State == container.Paused:
			paused++
		case s.Active():
			running++
		default:
			stopped++
		}
	}
	return running, paused, stopped
}

// ImageUsers names the containers that were made of an image.
func (e *Engine) ImageUsers(imageID string) (running, stopped []string) {
	for _, u := range e.units.all() {
		v := u.view()
		switch {
		case v.record.Image != imageID:
		case v.status.Active():
			running = append(running, v.record.ID)
		default:
			stopped = append(stopped, v.record.ID)
		}
	}
	return running, stopped
}

// dir is the container's folder.
func (e *Engine) dir(id string) string { return filepath.Join(e.DataRoot, "containers", id) }

// socket is the container's stream socket.
func (e *Engine) socket(id string) string { return filepath.Join(e.ExecRoot, "io", id+".sock") }
