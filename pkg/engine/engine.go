// Package engine is the containers: their lifecycle, supervision and streams.
// Each container has one owner goroutine that every change goes through; readers
// get snapshots from memory and wait for nobody. What a user asked for is
// committed before the answer; what runs is containerd's truth, learned by
// events and, at boot, by looking (recover.go).
//
// Engine has the verbs of the API and hands each to the part that does it, which
// is in the file of that verb: creator, starter, stopper, freezer, remover,
// updater, streamer. What nobody asked for is the supervisor's (exits and restarts), the
// observer's (containerd's events) and the recovery's (boot).
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/query"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/stats"
	"github.com/berth-engine/berth/pkg/engine/unit"
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
	layout
	units  *unit.Registry
	writer *unit.Writer
	store  Store
	images Images
	tasks  rootfsControl
	events Publisher

	creator  *creator
	starter  *starter
	stopper  *stopper
	freezer  *freezer
	remover  *remover
	updater  *updater
	streamer *streamer
	stats    *stats.Stats
	execs    *exec.Execs

	stop    context.CancelFunc // ends the background work
	workers sync.WaitGroup
}

// New recovers what the data root holds (see recover.go) and begins to
// supervise. Close ends that; containers go on.
func New(ctx context.Context, c Config) (*Engine, error) {
	if c.FaultPoint == nil {
		c.FaultPoint = func(string) {}
	}
	l := layout{data: c.DataRoot, run: c.ExecRoot}
	for _, dir := range []string{l.containers(), l.sockets()} {
		if err := os.MkdirAll(dir, 0o710); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
	}
	e, observer, recovery := assemble(c, l)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	// Subscribed before the look around: an exit in between is seen twice
	// rather than never.
	events := c.Tasks.Events(run)
	if err := recovery.run(ctx); err != nil {
		e.Close()
		return nil, fmt.Errorf("engine: recovery: %w", err)
	}
	e.workers.Go(func() { observer.dispatch(run, events) })
	return e, nil
}

// assemble hands each part what it needs of the configuration and of the others.
func assemble(c Config, l layout) (*Engine, *observer, *recovery) {
	units := unit.NewRegistry()
	writer := unit.NewWriter(c.Store, units.Get, c.Logger)
	bundler := &bundler{
		layout: l, units: units, tasks: c.Tasks, networks: c.Networks, volumes: c.Volumes, init: c.Init, host: c.Host,
	}
	execs := exec.New(exec.Config{
		Units: units, Tasks: c.Tasks, Socket: l.socket, Process: bundler.process, Events: c.Events, Logger: c.Logger,
	})
	remover := &remover{
		layout: l, units: units, tasks: c.Tasks, store: c.Store, volumes: c.Volumes, events: c.Events, log: c.Logger, fault: c.FaultPoint,
	}
	starter := &starter{
		layout: l, units: units, tasks: c.Tasks, networks: c.Networks, bundler: bundler, remover: remover, writer: writer,
		events: c.Events, log: c.Logger, fault: c.FaultPoint,
	}
	supervisor := &supervisor{
		tasks: c.Tasks, networks: c.Networks, bundler: bundler, starter: starter, remover: remover, execs: execs, writer: writer,
		events: c.Events, log: c.Logger, fault: c.FaultPoint,
	}
	freezer := &freezer{tasks: c.Tasks, writer: writer, events: c.Events}
	observer := &observer{
		units: units, tasks: c.Tasks, supervisor: supervisor, freezer: freezer, execs: execs, events: c.Events, log: c.Logger,
	}
	recovery := &recovery{
		layout: l, units: units, tasks: c.Tasks, networks: c.Networks, volumes: c.Volumes, store: c.Store, writer: writer,
		supervisor: supervisor, starter: starter, remover: remover, log: c.Logger,
	}
	return &Engine{
		layout: l, units: units, writer: writer, store: c.Store, images: c.Images, tasks: c.Tasks, events: c.Events,
		creator:  &creator{Config: c, layout: l, units: units, bundler: bundler},
		starter:  starter,
		stopper:  &stopper{tasks: c.Tasks, supervisor: supervisor, writer: writer, events: c.Events, fault: c.FaultPoint},
		freezer:  freezer,
		remover:  remover,
		updater:  &updater{host: c.Host, tasks: c.Tasks, writer: writer, events: c.Events},
		streamer: &streamer{layout: l, tasks: c.Tasks, events: c.Events},
		stats:    stats.New(stats.Config{Units: units, Cgroup2: c.Host.Cgroup2, Logger: c.Logger}),
		execs:    execs,
	}, observer, recovery
}

// Execs are the further commands in containers.
func (e *Engine) Execs() *exec.Execs { return e.execs }

// Stats sends what a container uses, see stats.Stats.
func (e *Engine) Stats(ctx context.Context, ref string, o StatsOptions, send func(ctypes.StatsResponse) error) error {
	return e.stats.Send(ctx, ref, o, send)
}

// Close waits for what is under way, writes what is behind and returns. What
// runs goes on running.
func (e *Engine) Close() {
	e.stop()
	e.workers.Wait()
	e.stats.Close()
	units := e.units.All()
	for _, u := range units {
		u.Close(errdefs.ErrUnavailable.WithMessage("the engine is shutting down"))
	}
	for _, u := range units {
		u.Wait()
	}
	e.remover.wait()
	e.writer.Close()
}

// Counts says how many containers are running (waiting to be restarted is
// running, too), paused and stopped.
func (e *Engine) Counts() (running, paused, stopped int) {
	for _, u := range e.units.All() {
		switch s := u.View().Status; {
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
	for _, u := range e.units.All() {
		v := u.View()
		switch {
		case v.Record.Image != imageID:
		case v.Status.Active():
			running = append(running, v.Record.ID)
		default:
			stopped = append(stopped, v.Record.ID)
		}
	}
	return running, stopped
}

// List tells about containers, newest first, from memory; sizes, which are asked
// for separately, are measured.
func (e *Engine) List(ctx context.Context, o ListOptions) ([]ctypes.Summary, error) {
	var views []*unit.View
	for _, u := range e.units.All() {
		views = append(views, u.View())
	}
	list, err := query.List(ctx, views, o, query.Known{
		Container: e.units.Find,
		Image: func(ctx context.Context, ref string) (string, error) {
			id, _, _, err := e.images.Resolve(ctx, ref, nil)
			return id, err
		},
	})
	if err != nil || !o.Size {
		return list, err
	}
	for i := range list {
		c := &list[i]
		// One that was removed meanwhile has none.
		if c.SizeRw, c.SizeRootFs, err = e.tasks.RootfsSize(ctx, c.ID); ignoreNotFound(err) != nil {
			return nil, err
		}
	}
	return list, nil
}

// Inspect tells everything about a container, from memory; its size, when asked
// for, is measured.
func (e *Engine) Inspect(ctx context.Context, ref string, size bool) (ctypes.InspectResponse, error) {
	u, err := e.units.Find(ref)
	if err != nil {
		return ctypes.InspectResponse{}, err
	}
	v := u.View()
	answer := query.Inspect(v, query.Paths{Dir: e.dir(u.ID), Log: e.logPath(v.Record)}, e.execs.Of(u.ID))
	if size {
		own, total, err := e.tasks.RootfsSize(ctx, u.ID)
		if err != nil {
			return ctypes.InspectResponse{}, err
		}
		answer.SizeRw, answer.SizeRootFs = &own, &total
	}
	return answer, nil
}
