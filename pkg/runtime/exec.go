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

// Exec prepares another process in a running container; StartExec runs it.
// AlreadyExists: execID is taken.
func (r *Runtime) Exec(ctx context.Context, id, execID string, p *specs.Process, io IO) error {
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
func (r *Runtime) StartExec(ctx context.Context, id, execID string) (pid int, err error) {
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
func (r *Runtime) KillExec(ctx context.Context, id, execID string, sig syscall.Signal) error {
	return r.kill(r.in(ctx), id, execID, sig)
}
