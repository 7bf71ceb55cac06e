package runtime

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// killed is the exit code of a process whose end nobody saw: containerd's own
// for a dead shim, 128 + SIGKILL.
const killed = 128 + int(syscall.SIGKILL)

// DeleteTask ends the task: it kills what still runs, waits for it and for the
// shim to have delivered the last byte, and removes the task. NotFound: there
// is none. When the shim itself was killed, the code is 137 and the time now,
// and the container's processes and mounts are gone as well. The exit of a task
// that ended while no containerd ran is handed out once.
func (r *Runtime) DeleteTask(ctx context.Context, id string) (Exit, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.task.delete", "id", id)
	defer end()
	x, err := r.remove(ctx, id, "", func(ctx context.Context) (*tasks.DeleteResponse, error) {
		return r.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	})
	if err != nil && !errdefs.IsNotFound(err) {
		return Exit{}, err
	}
	if kept, ok := r.exits.take(id); ok && err != nil {
		return kept, nil
	}
	return x, err
}

// DeleteExec does the same for a process that Exec made.
func (r *Runtime) DeleteExec(ctx context.Context, id, execID string) (Exit, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.exec.delete", "id", id, "exec", execID)
	defer end()
	return r.remove(ctx, id, execID, func(ctx context.Context) (*tasks.DeleteResponse, error) {
		return r.client.TaskService().DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: id, ExecID: execID})
	})
}

// remove ends a process and has it deleted. A process that cannot be asked
// about is deleted all the same: when its shim is dead, that is what waits for
// containerd's own clean-up.
func (r *Runtime) remove(ctx context.Context, id, execID string, del func(context.Context) (*tasks.DeleteResponse, error)) (Exit, error) {
	if p, err := r.process(ctx, id, execID); err == nil && alive(p.Status, execID) {
		if err := r.end(ctx, id, execID, p.Status); err != nil {
			return Exit{}, err
		}
	}
	resp, err := del(ctx)
	if err = errgrpc.ToNative(err); err == nil {
		return exit(resp.ExitStatus, resp.ExitedAt), nil
	}
	if errdefs.IsNotFound(err) {
		return Exit{}, err
	}
	if _, gone := r.process(ctx, id, execID); errdefs.IsNotFound(gone) {
		return Exit{Code: killed, At: time.Now()}, nil
	}
	return Exit{}, err
}

// alive says whether there is a process to kill. An exec that was not started
// is a name only; a task has its process from the beginning.
func alive(s tasktypes.Status, execID string) bool {
	return s != tasktypes.Status_STOPPED && !(s == tasktypes.Status_CREATED && execID != "")
}

// end kills a process and waits until it has ended.
func (r *Runtime) end(ctx context.Context, id, execID string, was tasktypes.Status) error {
	if err := r.kill(ctx, id, execID, syscall.SIGKILL); err != nil {
		return ignore(err, errdefs.IsNotFound)
	}
	if execID == "" && (was == tasktypes.Status_PAUSED || was == tasktypes.Status_PAUSING) {
		// A frozen process dies once it is thawed (cgroup v1). Some runtimes
		// do that themselves, and then refuse.
		_ = r.ResumeTask(ctx, id)
	}
	_, err := r.client.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: id, ExecID: execID})
	if err == nil || ctx.Err() == nil {
		return nil // an error is a shim that died meanwhile: deleting tells
	}
	return fmt.Errorf("waiting for container %s to die: %w", id, errgrpc.ToNative(err))
}

// RemoveContainer removes containerd's container object. Absent is no error.
// FailedPrecondition: it has a task.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	ctx, end := trace.Start(r.in(ctx), "runtime.container.remove", "id", id)
	defer end()
	return ignore(r.client.ContainerService().Delete(ctx, id), errdefs.IsNotFound)
}

// Containers returns the IDs of the container objects that CreateTask made.
func (r *Runtime) Containers(ctx context.Context) ([]string, error) {
	all, err := r.client.ContainerService().List(r.in(ctx), ownerFilter)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(all))
	for i, c := range all {
		ids[i] = c.ID
	}
	return ids, nil
}

func status(s tasktypes.Status) Status {
	switch s {
	case tasktypes.Status_CREATED:
		return Created
	case tasktypes.Status_RUNNING:
		return Running
	case tasktypes.Status_PAUSED, tasktypes.Status_PAUSING:
		return Paused
	default:
		return Stopped
	}
}

func exit(code uint32, at *timestamppb.Timestamp) Exit {
	return Exit{Code: int(code), At: at.AsTime()}
}
