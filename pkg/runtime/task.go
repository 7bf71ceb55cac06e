package runtime

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"
)

// IO is where a process's streams go. The strings are given to the shim as
// they are; "" is no stream.
type IO struct {
	Stdin, Stdout, Stderr string
	Terminal              bool
}

// TaskConfig describes a task to create. Its root filesystem is the snapshot
// that CreateRootfs made for ID.
type TaskConfig struct {
	ID      string
	Spec    *specs.Spec
	Runtime string // name in Config.Runtimes; "" is the default
	IO      IO
	// Checkpoint is a folder that CheckpointTask filled: StartTask has its
	// processes go on instead of running a new one.
	Checkpoint string
}

// Status of a task.
type Status string

// A task that containerd knows is in one of these.
const (
	Created Status = "created"
	Running Status = "running"
	Paused  Status = "paused"
	Stopped Status = "stopped"
)

// Exit is how a process ended.
type Exit struct {
	Code int       // its exit code, or 128 + the signal
	At   time.Time // zero while it has not
}

// Task is one task of the namespace.
type Task struct {
	ID     string
	Pid    int
	Status Status
	Exit   Exit // when Stopped
}

// containerTasks are the processes that containers are made for.
type containerTasks struct {
	conn
	known    atomic.Pointer[binaries]
	exits    *exits
	creating creating
}

// CreateTask makes the container's init process, which waits for StartTask.
// AlreadyExists: there is a task; InvalidArgument: there
// is no such runtime. When it fails it leaves no task, and no container that
// was not there before.
func (r *containerTasks) CreateTask(ctx context.Context, c TaskConfig) error {
	ctx = r.in(ctx)
	options, err := r.known.Load().find(c.Runtime)
	if err != nil {
		return err
	}
	defer r.creating.begin(c.ID)()
	r.exits.take(c.ID)
	fresh, err := r.putContainer(ctx, c, options)
	if err != nil {
		return fmt.Errorf("container %s: %w", c.ID, err)
	}
	err = r.createTask(ctx, c, options)
	if err != nil && fresh {
		if cerr := r.RemoveContainer(context.WithoutCancel(ctx), c.ID); cerr != nil {
			err = fmt.Errorf("%w (and %w)", err, cerr)
		}
	}
	return err
}

// putContainer writes containerd's container object, when there is none or its
// spec is another one: at most one commit. fresh says that there was none.
func (r *containerTasks) putContainer(ctx context.Context, c TaskConfig, options *anypb.Any) (fresh bool, err error) {
	ctx, end := trace.Start(ctx, "runtime.container", "id", c.ID)
	defer end()
	spec, err := typeurl.MarshalAny(c.Spec)
	if err != nil {
		return false, err
	}
	object := containers.Container{
		ID:          c.ID,
		Labels:      map[string]string{labelOwner: "true"},
		Runtime:     containers.RuntimeInfo{Name: r.config.Shim, Options: options},
		Spec:        spec,
		Snapshotter: r.config.Snapshotter,
		SnapshotKey: c.ID,
	}
	store := r.client.ContainerService()
	_, err = store.Create(ctx, object)
	if !errdefs.IsAlreadyExists(err) {
		return err == nil, err
	}
	old, err := store.Get(ctx, c.ID)
	if err != nil {
		return false, err
	}
	if old.Spec != nil && bytes.Equal(old.Spec.GetValue(), spec.GetValue()) {
		return false, nil
	}
	_, err = store.Update(ctx, object, "spec")
	return false, err
}

func (r *containerTasks) createTask(ctx context.Context, c TaskConfig, options *anypb.Any) error {
	ctx, end := trace.Start(ctx, "runtime.task.create", "id", c.ID)
	defer end()
	mounts, err := r.client.SnapshotService(r.config.Snapshotter).Mounts(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("root filesystem of container %s: %w", c.ID, err)
	}
	if c.Checkpoint != "" {
		if options, err = restoring(options, c.Checkpoint); err != nil {
			return err
		}
	}
	req := &tasks.CreateTaskRequest{
		ContainerID: c.ID,
		Stdin:       c.IO.Stdin,
		Stdout:      c.IO.Stdout,
		Stderr:      c.IO.Stderr,
		Terminal:    c.IO.Terminal,
		// Given each time: the container object's are from its first start,
		// and after an upgrade the shim may be elsewhere.
		RuntimePath: r.config.Shim,
		Options:     options,
	}
	label := ""
	if c.Spec.Linux != nil {
		label = c.Spec.Linux.MountLabel
	}
	for _, m := range mounts {
		opts := m.Options
		if label != "" && m.Type != "bind" {
			opts = append(opts[:len(opts):len(opts)], fmt.Sprintf("context=%q", label))
		}
		req.Rootfs = append(req.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: opts})
	}
	_, err = r.client.TaskService().Create(ctx, req)
	return errgrpc.ToNative(err)
}

// StartTask runs the process that CreateTask made, and returns its PID.
func (r *containerTasks) StartTask(ctx context.Context, id string) (pid int, err error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.task.start", "id", id)
	defer end()
	resp, err := r.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: id})
	if err != nil {
		return 0, errgrpc.ToNative(err)
	}
	return int(resp.Pid), nil
}

// KillTask sends a signal to the container's init process. NotFound: there is
// no task, or its process has ended.
func (r *containerTasks) KillTask(ctx context.Context, id string, sig syscall.Signal) error {
	return r.kill(r.in(ctx), id, "", sig)
}

// pauseAttempts is how often a container is asked to freeze. With cgroup v1 runc may
// give up on a loaded machine, where a process of the container does not come to run
// for long enough ("unable to freeze").
const pauseAttempts = 5

// PauseTask freezes all processes of the container.
func (r *containerTasks) PauseTask(ctx context.Context, id string) (err error) {
	for range pauseAttempts {
		_, err = r.client.TaskService().Pause(r.in(ctx), &tasks.PauseTaskRequest{ContainerID: id})
		if err = errgrpc.ToNative(err); !errdefs.IsUnknown(err) || ctx.Err() != nil {
			break
		}
	}
	return err
}

// ResumeTask thaws them.
func (r *containerTasks) ResumeTask(ctx context.Context, id string) error {
	return r.resume(r.in(ctx), id)
}

// UpdateTask changes the limits of a container that runs. What is nil in limits
// stays as it is, and so do devices and the limits of single block devices.
func (r *containerTasks) UpdateTask(ctx context.Context, id string, limits *specs.LinuxResources) error {
	resources, err := typeurl.MarshalAnyToProto(limits)
	if err != nil {
		return err
	}
	_, err = r.client.TaskService().Update(r.in(ctx), &tasks.UpdateTaskRequest{ContainerID: id, Resources: resources})
	return errgrpc.ToNative(err)
}

// Pids returns the host's IDs of all processes in the container.
func (r *containerTasks) Pids(ctx context.Context, id string) ([]int, error) {
	resp, err := r.client.TaskService().ListPids(r.in(ctx), &tasks.ListPidsRequest{ContainerID: id})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	pids := make([]int, len(resp.Processes))
	for i, p := range resp.Processes {
		pids[i] = int(p.Pid)
	}
	return pids, nil
}

// Tasks returns every task of the namespace, whoever made it. A container that
// ended while no containerd ran is among them, without a PID.
func (r *containerTasks) Tasks(ctx context.Context) ([]Task, error) {
	resp, err := r.client.TaskService().List(r.in(ctx), &tasks.ListTasksRequest{})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	kept := r.exits.all()
	all := make([]Task, 0, len(resp.Tasks)+len(kept))
	for _, p := range resp.Tasks {
		t := Task{ID: p.ID, Pid: int(p.Pid), Status: status(p.Status)}
		if t.Status == Stopped {
			t.Exit = exit(p.ExitStatus, p.ExitedAt)
		}
		all = append(all, t)
		delete(kept, p.ID)
	}
	for id, x := range kept {
		all = append(all, Task{ID: id, Status: Stopped, Exit: x})
	}
	return all, nil
}
