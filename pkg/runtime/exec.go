package runtime

import (
	"context"
	"syscall"

	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// execs are further processes in running containers.
type execs struct{ conn }

// Exec prepares another process in a running container; StartExec runs it.
// AlreadyExists: execID is taken.
func (r *execs) Exec(ctx context.Context, id, execID string, p *specs.Process, io IO) error {
	ctx, end := trace.Start(r.in(ctx), "runtime.exec.create", "id", id, "exec", execID)
	defer end()
	spec, err := typeurl.MarshalAnyToProto(p)
	if err != nil {
		return err
	}
	_, err = r.client.TaskService().Exec(ctx, &tasks.ExecProcessRequest{
		ContainerID: id,
		ExecID:      execID,
		Stdin:       io.Stdin,
		Stdout:      io.Stdout,
		Stderr:      io.Stderr,
		Terminal:    io.Terminal,
		Spec:        spec,
	})
	return errgrpc.ToNative(err)
}

// StartExec runs the process that Exec prepared and returns its PID.
func (r *execs) StartExec(ctx context.Context, id, execID string) (pid int, err error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.exec.start", "id", id, "exec", execID)
	defer end()
	resp, err := r.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: id, ExecID: execID})
	if err != nil {
		return 0, errgrpc.ToNative(err)
	}
	return int(resp.Pid), nil
}

// KillExec sends a signal to the process. NotFound: there is none, or it has
// ended.
func (r *execs) KillExec(ctx context.Context, id, execID string, sig syscall.Signal) error {
	return r.kill(r.in(ctx), id, execID, sig)
}

// ExecExit says whether the process has ended, and how. NotFound: there is none.
func (r *execs) ExecExit(ctx context.Context, id, execID string) (Exit, bool, error) {
	resp, err := r.client.TaskService().Get(r.in(ctx), &tasks.GetRequest{ContainerID: id, ExecID: execID})
	if err != nil {
		return Exit{}, false, errgrpc.ToNative(err)
	}
	if status(resp.Process.Status) != Stopped {
		return Exit{}, false, nil
	}
	return exit(resp.Process.ExitStatus, resp.Process.ExitedAt), true, nil
}

// DeleteExec does the same for a process that Exec made.
func (r *execs) DeleteExec(ctx context.Context, id, execID string) (Exit, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.exec.delete", "id", id, "exec", execID)
	defer end()
	return r.remove(ctx, id, execID, func(ctx context.Context) (*tasks.DeleteResponse, error) {
		return r.client.TaskService().DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: id, ExecID: execID})
	})
}

// Resize sets the size of a process's terminal in characters. execID "" is the
// container's own.
func (r *execs) Resize(ctx context.Context, id, execID string, width, height uint32) error {
	_, err := r.client.TaskService().ResizePty(r.in(ctx), &tasks.ResizePtyRequest{
		ContainerID: id, ExecID: execID, Width: width, Height: height,
	})
	return errgrpc.ToNative(err)
}
