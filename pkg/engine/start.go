package engine

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/berth-engine/berth/pkg/cgroups"
	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/bundle"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/endpoints"
	"github.com/berth-engine/berth/pkg/engine/health"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/engine/supervise"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Start starts a container. NotModified: it runs already. The failure to start
// its command is InvalidArgument and stays in State.Error and State.ExitCode.
func (e *Engine) Start(ctx context.Context, ref string) error {
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	return u.Do(ctx, func(ctx context.Context) error {
		if err := startable(u.View()); err != nil {
			return err
		}
		return e.starter.byUser(ctx, u)
	})
}

// restore starts a container from a checkpoint. Owner only.
func (s *starter) restore(ctx context.Context, u *unit.Unit, images string) error {
	if err := startable(u.View()); err != nil {
		return err
	}
	return s.anew(ctx, u, images)
}

// startable says why a container cannot be started.
func startable(v *unit.View) error {
	switch v.Status.State {
	case container.Running, container.Restarting:
		return errdefs.ErrNotModified.WithMessage("container already started")
	case container.Paused:
		return errdefs.ErrConflict.WithMessage("cannot start a paused container, try unpause instead")
	case container.Removing, container.Dead:
		return errdefs.ErrConflict.WithMessage("container is marked for removal and cannot be started")
	}
	return nil
}

// starter makes containers run.
type starter struct {
	layout.Layout
	units     *unit.Registry
	tasks     taskControl
	networks  Networks
	endpoints *endpoints.Endpoints
	bundler   *bundle.Bundler
	remover   *remover
	probes    *health.Monitor
	writer    *unit.Writer
	events    Publisher
	log       *slog.Logger
	fault     func(name string)
}

// byUser begins anew: restart count, back-off and the intent to stop are
// forgotten. Owner only.
func (s *starter) byUser(ctx context.Context, u *unit.Unit) error { return s.anew(ctx, u, "") }

func (s *starter) anew(ctx context.Context, u *unit.Unit, images string) error {
	status := u.Status()
	status.RestartCount, status.ByHand = 0, false
	u.Backoff, u.Kept = 0, false
	u.Set(status)
	err := s.start(ctx, u, images)
	if err == nil {
		return nil
	}
	code, err := supervise.StartError(err)
	u.Set(u.Status().Failed(code, err.Error()))
	u.Waiting.Drop(err)
	if u.View().Record.HostConfig.AutoRemove {
		if rmErr := s.remover.now(ctx, u, RemoveOptions{Volumes: true}); rmErr != nil {
			s.log.Error("container could not be removed after its start failed", "container", u.ID, "error", rmErr)
		}
		return err
	}
	s.writer.Later(u.ID)
	return err
}

// start makes sandbox, task and streams, and lets the process go, from a
// checkpoint's images if they are named. What it acquired is given back when it
// fails. Owner only.
func (s *starter) start(ctx context.Context, u *unit.Unit, images string) (err error) {
	ctx, end := trace.Start(ctx, "start")
	defer end()
	var undo undoStack
	defer func() {
		if err != nil {
			undo.run(ctx, s.log)
		}
	}()
	r := u.View().Record
	sandbox, err := s.sandbox(ctx, r, &undo)
	if err != nil {
		return err
	}
	s.fault("start.sandbox")
	undo.push("mounts", func(ctx context.Context) error { return s.bundler.Unmount(ctx, r) })
	oci, err := s.bundler.Spec(ctx, r, sandbox)
	if err != nil {
		return err
	}
	if err := s.task(ctx, u, oci, sandbox, images, &undo); err != nil {
		return err
	}
	s.fault("start.task")
	if err := s.networks.HandOver(ctx, r.ID); err != nil {
		s.log.Warn("the ports of a container are held by the daemon alone", "container", r.ID, "error", err)
	}
	u.Waiting.Join(ctx, s.Socket(u.ID))
	began := time.Now() // it may have ended before the answer is here
	pid, err := s.tasks.StartTask(ctx, r.ID)
	if err != nil {
		return err
	}
	s.fault("start.started")
	u.Begin()
	status := u.Status().Started(pid, began, sandbox)
	status.Health = health.Begun(r.Config, status.Health)
	u.Set(status)
	s.probes.Watch(u)
	s.bundler.Relink(u)
	s.endpoints.TellSharers(ctx, u.ID)
	publishNetworks(s.networks, s.events, u.ID, events.ActionConnect, sandbox)
	s.events.Publish(u.Event(events.ActionStart, nil))
	// A restart after a reboot depends on the record knowing that it ran.
	if r.HostConfig.RestartPolicy.IsNone() {
		s.writer.Later(r.ID)
		return nil
	}
	if err := s.writer.Save(ctx, r.ID); err != nil {
		s.log.Error("container runs, but its record could not be written", "container", r.ID, "error", err)
	}
	return nil
}

// sandbox makes the network.
func (s *starter) sandbox(ctx context.Context, r *container.Record, undo *undoStack) (container.Sandbox, error) {
	ctx, end := trace.Start(ctx, "start.network")
	defer end()
	if r.HostConfig.NetworkMode.IsContainer() {
		undo.push("shared network", func(ctx context.Context) error { s.endpoints.Leave(ctx, r.ID); return nil })
		return s.endpoints.Join(ctx, r)
	}
	ports, err := request.Ports(r)
	if err != nil {
		return container.Sandbox{}, err
	}
	undo.push("sandbox", func(ctx context.Context) error { return s.endpoints.Release(ctx, r.ID) })
	key, made, bound, err := s.networks.Setup(ctx, r.ID, r.Name, r.Named(), ports)
	if err != nil {
		return container.Sandbox{}, fmt.Errorf("failed to set up container networking: %w", err)
	}
	return container.Sandbox{Key: key, Endpoints: made, Ports: bound}, nil
}

// task creates the task, with the shim's streams and log.
func (s *starter) task(ctx context.Context, u *unit.Unit, oci *specs.Spec, sandbox container.Sandbox, images string, undo *undoStack) error {
	ctx, end := trace.Start(ctx, "start.task")
	defer end()
	cgroups.HastenAttach() // beside the shim's start
	r := u.View().Record
	io := s.streams(r)
	var err error
	if io.Names, err = s.bundler.Names(r, sandbox); err != nil {
		return err
	}
	undo.push("task", func(ctx context.Context) error {
		_, err := s.tasks.DeleteTask(ctx, r.ID)
		return ignoreNotFound(err)
	})
	return s.createTask(ctx, runtime.TaskConfig{
		ID: r.ID, Spec: oci, Runtime: r.HostConfig.Runtime, IO: attach.IO(io), Checkpoint: images,
	})
}

// createTask takes away what is left of a run whose task could not be deleted: containerd
// died when it ended, or before it began.
func (s *starter) createTask(ctx context.Context, c runtime.TaskConfig) error {
	err := s.tasks.CreateTask(ctx, c)
	if !errdefs.IsAlreadyExists(err) {
		return err
	}
	s.log.Warn("a task that an earlier run left is deleted", "container", c.ID)
	if _, err := s.tasks.DeleteTask(ctx, c.ID); ignoreNotFound(err) != nil {
		return err
	}
	return s.tasks.CreateTask(ctx, c)
}

// streams describes to the shim what to do with the container's output.
func (s *starter) streams(r *container.Record) streams.Config {
	log, _ := request.Log(r, s.Log(r)) // checked by create
	return streams.Config{
		ID:        r.ID,
		Socket:    s.Socket(r.ID),
		Tty:       r.Config.Tty,
		Stdin:     r.Config.OpenStdin,
		StdinOnce: r.Config.StdinOnce,
		Log:       log,
	}
}
