package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
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
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	return u.do(ctx, func(ctx context.Context) error {
		if err := startable(u.view()); err != nil {
			return err
		}
		return e.startByUser(ctx, u)
	})
}

// startable says why a container cannot be started.
func startable(v *view) error {
	switch v.status.State {
	case container.Running, container.Restarting:
		return errdefs.ErrNotModified.WithMessage("container already started")
	case container.Paused:
		return errdefs.ErrConflict.WithMessage("cannot start a paused container, try unpause instead")
	case container.Removing, container.Dead:
		return errdefs.ErrConflict.WithMessage("container is marked for removal and cannot be started")
	}
	return nil
}

// startByUser begins anew: restart count, back-off and the intent to stop are
// forgotten. Owner only.
func (e *Engine) startByUser(ctx context.Context, u *unit) error {
	s := u.status()
	s.RestartCount, s.ByHand = 0, false
	u.backoff = 0
	u.set(s)
	err := e.start(ctx, u)
	if err == nil {
		return nil
	}
	code, err := startError(err)
	u.set(u.status().Failed(code, err.Error()))
	e.dropWaiting(u, err)
	if u.view().record.HostConfig.AutoRemove {
		if rmErr := e.removeNow(ctx, u, RemoveOptions{Volumes: true}); rmErr != nil {
			e.Logger.Error("container could not be removed after its start failed", "container", u.id, "error", rmErr)
		}
		return err
	}
	e.persist.later(u.id)
	return err
}

// start makes sandbox, task and streams, and lets the process go. What it
// acquired is given back when it fails. Owner only.
func (e *Engine) start(ctx context.Context, u *unit) (err error) {
	ctx, end := trace.Start(ctx, "start")
	defer end()
	var undo undoStack
	defer func() {
		if err != nil {
			undo.run(ctx, e.Logger)
		}
	}()
	r := u.view().record
	sandbox, err := e.sandbox(ctx, r, &undo)
	if err != nil {
		return err
	}
	e.FaultPoint("start.sandbox")
	undo.push("mounts", func(ctx context.Context) error { return e.unmount(ctx, r) })
	ociSpec, err := e.ociSpec(ctx, r, sandbox)
	if err != nil {
		return err
	}
	pid, err := e.task(ctx, u, ociSpec, &undo)
	if err != nil {
		return err
	}
	e.FaultPoint("start.task")
	e.joinWaiting(ctx, u)
	if err := e.Tasks.StartTask(ctx, r.ID); err != nil {
		return err
	}
	e.FaultPoint("start.started")
	u.running = make(chan struct{})
	u.set(u.status().Started(pid, time.Now(), sandbox))
	e.publishNetworks(u, events.ActionConnect, sandbox)
	e.publish(u, events.ActionStart, nil)
	// A restart after a reboot depends on the record knowing that it ran.
	if r.HostConfig.RestartPolicy.IsNone() {
		e.persist.later(r.ID)
		return nil
	}
	if err := e.persist.save(ctx, r.ID); err != nil {
		e.Logger.Error("container runs, but its record could not be written", "container", r.ID, "error", err)
	}
	return nil
}

// sandbox makes the network.
func (e *Engine) sandbox(ctx context.Context, r *container.Record, undo *undoStack) (container.Sandbox, error) {
	ctx, end := trace.Start(ctx, "start.network")
	defer end()
	if owner := r.HostConfig.NetworkMode.ConnectedContainer(); r.HostConfig.NetworkMode.IsContainer() {
		return e.joinedSandbox(owner)
	}
	ports, err := wantedPorts(r)
	if err != nil {
		return container.Sandbox{}, err
	}
	undo.push("sandbox", func(ctx context.Context) error { return e.Networks.Teardown(ctx, r.ID) })
	key, made, bound, err := e.Networks.Setup(ctx, r.ID, r.Name, r.Endpoints, ports)
	if err != nil {
		return container.Sandbox{}, fmt.Errorf("failed to set up container networking: %w", err)
	}
	return container.Sandbox{Key: key, Endpoints: made, Ports: bound}, nil
}

// joinedSandbox is that of another container, whose network is shared.
func (e *Engine) joinedSandbox(ref string) (container.Sandbox, error) {
	owner, err := e.units.find(ref)
	if err != nil {
		return container.Sandbox{}, err
	}
	s := owner.status()
	if !s.Live() {
		return container.Sandbox{}, errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot join network of a non running container: %s", owner.id))
	}
	if s.Sandbox.Key == "" {
		return container.Sandbox{}, nil
	}
	// The owner's process, not the pinned namespace: the same, but it cannot
	// have been replaced behind our back.
	return container.Sandbox{Key: s.Sandbox.Key}, nil
}

// ociSpec writes the container's own files and its runtime configuration.
func (e *Engine) ociSpec(ctx context.Context, r *container.Record, sandbox container.Sandbox) (*specs.Spec, error) {
	ctx, end := trace.Start(ctx, "start.spec")
	defer end()
	if err := spec.Files(e.files(r, sandbox)); err != nil {
		return nil, err
	}
	mounts, err := e.mounts(ctx, r)
	if err != nil {
		return nil, err
	}
	shm, err := e.sharedMemory(r)
	if err != nil {
		return nil, err
	}
	view := e.lazyRootfs(ctx, r.ID)
	defer view.close()
	in := e.specInput(r, view)
	in.NetNS, in.Mounts, in.Shm = sandbox.Key, mounts, shm
	return spec.Build(ctx, in)
}

// specInput is what the specifications of a container's first and further
// processes have in common.
func (e *Engine) specInput(r *container.Record, view *lazyView) spec.Input {
	return spec.Input{
		ID:         r.ID,
		Name:       r.Name,
		Config:     r.Config,
		HostConfig: r.HostConfig,
		Dir:        e.dir(r.ID),
		Init:       e.Init,
		Lookup:     view.readFile,
		Namespaces: e.pidOf,
		Host:       e.Host,
	}
}

// task creates the task, with the shim's streams and log.
func (e *Engine) task(ctx context.Context, u *unit, s *specs.Spec, undo *undoStack) (int, error) {
	ctx, end := trace.Start(ctx, "start.task")
	defer end()
	r := u.view().record
	undo.push("task", func(ctx context.Context) error {
		_, err := e.Tasks.DeleteTask(ctx, r.ID)
		return ignoreNotFound(err)
	})
	return e.Tasks.CreateTask(ctx, runtime.TaskConfig{
		ID: r.ID, Spec: s, Runtime: r.HostConfig.Runtime, IO: taskIO(e.streams(r)),
	})
}

// streams describes to the shim what to do with the container's output.
func (e *Engine) streams(r *container.Record) streams.Config {
	return streams.Config{
		ID:        r.ID,
		Socket:    e.socket(r.ID),
		Tty:       r.Config.Tty,
		Stdin:     r.Config.OpenStdin,
		StdinOnce: r.Config.StdinOnce,
		Log:       e.logOf(r),
	}
}

// taskIO is a stream configuration as containerd passes it on.
func taskIO(c streams.Config) runtime.IO {
	uri := streams.URI(c)
	io := runtime.IO{Stdout: uri, Terminal: c.Tty}
	if !c.Tty {
		io.Stderr = uri
	}
	if c.Stdin {
		io.Stdin = uri
	}
	return io
}

// pidOf finds the process whose namespaces another container joins.
func (e *Engine) pidOf(ref string) (int, error) {
	u, err := e.units.find(ref)
	if err != nil {
		return 0, err
	}
	if s := u.status(); s.Live() {
		return s.Pid, nil
	}
	return 0, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.id))
}
