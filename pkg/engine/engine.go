// Package engine is the containers: their lifecycle, supervision and streams.
// Each container has one owner goroutine that every change goes through; readers
// get snapshots from memory and wait for nobody. What a user asked for is
// committed before the answer; what runs is containerd's truth, learned by
// events and, at boot, by looking (recover.go).
//
// Engine has the verbs of the API and hands each to the part that does it, which
// is in the file of that verb: creator, starter, stopper, freezer, remover,
// updater. Whole families of verbs that change no container have a type and a
// package of their own, and an accessor here: Reader, Streams, Execs,
// Contents, Checkpoints, Stats. What nobody asked for is the supervisor's (exits and restarts), the
// observer's (containerd's events) and the recovery's (boot).
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/bundle"
	"github.com/berth-engine/berth/pkg/engine/cdi"
	"github.com/berth-engine/berth/pkg/engine/checkpoint"
	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/berth-engine/berth/pkg/engine/endpoints"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/health"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/output"
	"github.com/berth-engine/berth/pkg/engine/query"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/stats"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// Config is what New needs. Every field is required unless it says otherwise.
type Config struct {
	DataRoot   string                                   // containers' folders are below it
	ExecRoot   string                                   // stream sockets are below it
	Init       string                                   // absolute path of berth-init
	Runtimes   func() (names []string, standard string) // OCI runtimes, and that of containers that name none
	Defaults   spec.Defaults
	Devices    cdi.Dirs // of vendors; optional
	LinkEnv    bool     // --link brings environment variables, as up to Docker 28
	Host       spec.Host
	Tasks      Tasks
	Images     Images
	Networks   Networks
	Names      func(id string) string // path of what a container's shim answers names from
	Volumes    Volumes
	Store      Store
	Events     Publisher
	Logger     *slog.Logger
	FaultPoint func(name string) // optional: called at each step whose interruption tests cover
}

// Engine owns every container of one data root.
type Engine struct {
	units  *unit.Registry
	writer *unit.Writer
	store  Store
	events Publisher

	creator   *creator
	starter   *starter
	stopper   *stopper
	freezer   *freezer
	remover   *remover
	updater   *updater
	stats     *stats.Stats
	execs     *exec.Execs
	endpoints *endpoints.Endpoints
	probes    *health.Monitor
	streams   *output.Streams
	reader    *query.Reader
	content   *contents.Contents
	saved     *checkpoint.Checkpoints

	stop    context.CancelFunc // ends the background work
	workers sync.WaitGroup
}

// New recovers what the data root holds (see recover.go) and begins to
// supervise. Close ends that; containers go on.
func New(ctx context.Context, c Config) (*Engine, error) {
	if c.FaultPoint == nil {
		c.FaultPoint = func(string) {}
	}
	if err := c.Defaults.Check(); err != nil {
		return nil, fmt.Errorf("engine: seccomp-profile: %w", err)
	}
	l := layout.Layout{Data: c.DataRoot, Run: c.ExecRoot}
	for _, dir := range []string{l.Containers(), l.Sockets()} {
		if err := os.MkdirAll(dir, 0o710); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
	}
	e, observer, recovery, boot := assemble(c, l)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop, e.remover.closing = stop, run.Done()
	// Subscribed before the look around: an exit in between is seen twice
	// rather than never.
	events := c.Tasks.Events(run)
	if err := recovery.run(ctx); err != nil {
		e.Close()
		return nil, fmt.Errorf("engine: recovery: %w", err)
	}
	boot.plan()
	e.workers.Go(func() { observer.dispatch(run, events) })
	e.workers.Go(func() { boot.run(run) })
	return e, nil
}

// assemble hands each part what it needs of the configuration and of the others.
func assemble(c Config, l layout.Layout) (*Engine, *observer, *recovery, *boot) {
	units := unit.NewRegistry()
	writer := unit.NewWriter(c.Store, units.Get, c.Logger)
	bundler := &bundle.Bundler{
		Layout: l, Units: units, Roots: c.Tasks, Networks: c.Networks, Volumes: c.Volumes, View: c.Names, Init: c.Init, Host: c.Host, Defaults: c.Defaults,
		Devices: c.Devices, LinkEnv: c.LinkEnv, Logger: c.Logger,
	}
	execs := exec.New(exec.Config{
		Units: units, Tasks: c.Tasks, Socket: l.Socket, Process: bundler.Process, Events: c.Events, Logger: c.Logger,
	})
	shared := endpoints.New(endpoints.Config{
		Units: units, Networks: c.Networks, Writer: writer, Refresh: bundler.Refresh, Events: c.Events, Logger: c.Logger,
		Tell: func(ctx context.Context, id string) error { return streams.RefreshNames(ctx, l.Socket(id)) },
	})
	remover := &remover{
		Layout: l, units: units, tasks: c.Tasks, store: c.Store, volumes: c.Volumes, events: c.Events, log: c.Logger, fault: c.FaultPoint,
	}
	stopper := &stopper{tasks: c.Tasks, writer: writer, events: c.Events, log: c.Logger, fault: c.FaultPoint}
	probes := health.New(health.Config{Run: execs.Run, Failed: stopper.unhealthy, Writer: writer, Events: c.Events})
	starter := &starter{
		Layout: l, units: units, tasks: c.Tasks, networks: c.Networks, endpoints: shared, bundler: bundler, remover: remover, probes: probes, writer: writer,
		events: c.Events, log: c.Logger, fault: c.FaultPoint,
	}
	sampled := stats.New(stats.Config{Units: units, Cgroup2: c.Host.Cgroup2, Logger: c.Logger})
	supervisor := &supervisor{
		tasks: c.Tasks, networks: c.Networks, endpoints: shared, bundler: bundler, starter: starter, remover: remover, execs: execs, probes: probes, writer: writer,
		events: c.Events, log: c.Logger, fault: c.FaultPoint, oomKilled: sampled.OOMKilled,
	}
	stopper.supervisor, stopper.probes = supervisor, probes
	freezer := &freezer{tasks: c.Tasks, probes: probes, writer: writer, events: c.Events, fault: c.FaultPoint}
	observer := &observer{
		units: units, tasks: c.Tasks, supervisor: supervisor, freezer: freezer, execs: execs, events: c.Events, log: c.Logger,
	}
	recovery := &recovery{
		Layout: l, units: units, tasks: c.Tasks, networks: c.Networks, endpoints: shared, volumes: c.Volumes, store: c.Store, writer: writer,
		supervisor: supervisor, freezer: freezer, remover: remover, probes: probes, log: c.Logger,
	}
	e := &Engine{
		units: units, writer: writer, store: c.Store, events: c.Events,
		creator:   newCreator(c, l, units, bundler),
		starter:   starter,
		stopper:   stopper,
		freezer:   freezer,
		remover:   remover,
		updater:   &updater{host: c.Host, tasks: c.Tasks, writer: writer, events: c.Events},
		stats:     sampled,
		execs:     execs,
		endpoints: shared,
		probes:    probes,
		streams:   &output.Streams{Layout: l, Units: units, Tasks: c.Tasks, Events: c.Events},
		reader:    newReader(c, l, units, execs),
	}
	e.content = &contents.Contents{
		Layout: l, Units: units, Roots: c.Tasks, Volumes: c.Volumes, Freezer: e, Images: c.Images, Events: c.Events,
	}
	e.saved = &checkpoint.Checkpoints{Layout: l, Units: units, Tasks: c.Tasks, Start: starter.restore, Events: c.Events}
	return e, observer, recovery, &boot{units: units, supervisor: supervisor}
}

func newCreator(c Config, l layout.Layout, units *unit.Registry, b *bundle.Bundler) *creator {
	plan := &request.Plan{
		Defaults: c.Defaults, Runtimes: c.Runtimes, Host: c.Host, Devices: c.Devices,
		Snapshotter: c.Tasks.Snapshotter(), Units: units, Images: c.Images, Networks: c.Networks, Volumes: c.Volumes,
	}
	return &creator{
		Layout: l, plan: plan, units: units, tasks: c.Tasks, volumes: c.Volumes, store: c.Store, bundler: b,
		events: c.Events, log: c.Logger, fault: c.FaultPoint,
	}
}

func newReader(c Config, l layout.Layout, units *unit.Registry, execs *exec.Execs) *query.Reader {
	return &query.Reader{
		Layout: l, Units: units, Execs: execs.Of, Size: c.Tasks.RootfsSize,
		Image: func(ctx context.Context, ref string) (string, error) {
			img, err := c.Images.Resolve(ctx, ref, nil)
			return img.ID, err
		},
	}
}

// Reader tells about containers.
func (e *Engine) Reader() *query.Reader { return e.reader }

// Streams are what containers print and read: attach, logs, resize.
func (e *Engine) Streams() *output.Streams { return e.streams }

// Endpoints are the containers' places on networks.
func (e *Engine) Endpoints() *endpoints.Endpoints { return e.endpoints }

// Execs are the further commands in containers.
func (e *Engine) Execs() *exec.Execs { return e.execs }

// Contents are the files of containers: cp, diff, export, commit.
func (e *Engine) Contents() *contents.Contents { return e.content }

// Checkpoints are kept states of running containers.
func (e *Engine) Checkpoints() *checkpoint.Checkpoints { return e.saved }

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
	e.probes.Close()
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
