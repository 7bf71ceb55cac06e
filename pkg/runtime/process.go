package runtime

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What a container's own process and those of Exec have in common. execID is
// "" for the former; contexts carry the namespace.

// killed is the exit code of a process whose end nobody saw: containerd's own
// for a dead shim, 128 + SIGKILL.
const killed = 128 + int(syscall.SIGKILL)

// process asks the shim for the state of a process.
func (c conn) process(ctx context.Context, id, execID string) (*tasktypes.Process, error) {
	resp, err := c.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id, ExecID: execID})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	return resp.Process, nil
}

func (c conn) kill(ctx context.Context, id, execID string, sig syscall.Signal) error {
	_, err := c.client.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, ExecID: execID, Signal: uint32(sig)})
	if err = errgrpc.ToNative(err); err == nil || errdefs.IsNotFound(err) {
		return err
	}
	// A process that ended between two looks, or with its shim, is refused in
	// words only: the state decides.
	if p, serr := c.process(ctx, id, execID); errdefs.IsNotFound(serr) || serr == nil && p.Status == tasktypes.Status_STOPPED {
		return fmt.Errorf("container %s is not running: %w: %w", id, errdefs.ErrNotFound, err)
	}
	return err
}

// remove ends a process and has it deleted. A process that cannot be asked
// about is deleted all the same: when its shim is dead, that is what waits for
// containerd's own clean-up.
func (c conn) remove(ctx context.Context, id, execID string, del func(context.Context) (*tasks.DeleteResponse, error)) (Exit, error) {
	if p, err := c.process(ctx, id, execID); err == nil && alive(p.Status, execID) {
		if err := c.finish(ctx, id, execID, p.Status); err != nil {
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
	if _, gone := c.process(ctx, id, execID); errdefs.IsNotFound(gone) {
		return Exit{Code: killed, At: time.Now()}, nil
	}
	return Exit{}, err
}

// alive says whether there is a process to kill. An exec that was not started
// is a name only; a task has its process from the beginning.
func alive(s tasktypes.Status, execID string) bool {
	return s != tasktypes.Status_STOPPED && !(s == tasktypes.Status_CREATED && execID != "")
}

// finish kills a process and waits until it has ended.
func (c conn) finish(ctx context.Context, id, execID string, was tasktypes.Status) error {
	if err := c.kill(ctx, id, execID, syscall.SIGKILL); err != nil {
		return ignore(err, errdefs.IsNotFound)
	}
	if execID == "" && (was == tasktypes.Status_PAUSED || was == tasktypes.Status_PAUSING) {
		// A frozen process dies once it is thawed (cgroup v1). Some runtimes
		// do that themselves, and then refuse.
		_ = c.resume(ctx, id)
	}
	_, err := c.client.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: id, ExecID: execID})
	if err == nil || ctx.Err() == nil {
		return nil // an error is a shim that died meanwhile: deleting tells
	}
	return fmt.Errorf("waiting for container %s to die: %w", id, errgrpc.ToNative(err))
}

func (c conn) resume(ctx context.Context, id string) error {
	_, err := c.client.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: id})
	return errgrpc.ToNative(err)
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
