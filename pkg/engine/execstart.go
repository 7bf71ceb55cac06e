package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// ExecStart runs it. Unless detached it returns when the command's output has
// ended. InvalidArgument: it cannot be executed.
func (e *Engine) ExecStart(ctx context.Context, id string, o ExecStartOptions, open OpenConn) error {
	ctx, end := trace.Start(ctx, "exec")
	defer end()
	ex, err := e.execs.find(id)
	if err != nil {
		return err
	}
	if err := runnable(ex.unit); err != nil {
		return err
	}
	if err := e.execs.begin(ex); err != nil {
		return err
	}
	size := o.ConsoleSize
	if size == nil {
		size = ex.ask.ConsoleSize
	}
	conn, err := e.execTask(ctx, ex, size, o.Detach)
	if err != nil {
		e.execFailed(ex, err)
		return err
	}
	if o.Detach {
		return e.execLaunch(ctx, ex)
	}
	client, err := open(ex.ask.Tty)
	if err != nil {
		conn.Close()
		e.execFailed(ex, err)
		return err
	}
	defer client.Close()
	if err := e.execLaunch(ctx, ex); err != nil {
		conn.Close()
		return execReport(client, ex, err)
	}
	keys, _ := detachKeys(ex.ask.DetachKeys) // checked by ExecCreate
	if copyStreams(ctx, client, conn, ex.ask.AttachStdin, stdinOf(client, ex.ask.Tty, keys), ex.done) {
		e.publish(ex.unit, events.ActionExecDetach, map[string]string{"execID": ex.id})
	}
	return nil
}

// execReport tells a client, whose connection is a stream by now, why its
// command did not run, as Docker does: on the stream.
func execReport(client Conn, ex *exec, err error) error {
	w := io.Writer(client)
	if !ex.ask.Tty {
		w = streams.NewFrameWriter(client, streams.Stderr)
	}
	fmt.Fprintf(w, "%s\r\n", err)
	client.CloseWrite()
	return err
}

// execTask makes the process, not yet started, and joins the client to it.
func (e *Engine) execTask(ctx context.Context, ex *exec, size *[2]uint, detached bool) (*net.UnixConn, error) {
	u := ex.unit
	r := u.view().record
	view := e.lazyRootfs(ctx, u.id)
	defer view.close()
	ask := ex.ask
	ask.ConsoleSize = size
	process, err := spec.Process(ctx, e.specInput(r, view), &ask)
	if err != nil {
		return nil, err
	}
	io := taskIO(streams.Config{ID: u.id, Exec: ex.id, Socket: e.socket(u.id), Tty: ex.ask.Tty, Stdin: ex.ask.AttachStdin, StdinOnce: true})
	if err := e.Tasks.Exec(context.WithoutCancel(ctx), u.id, ex.id, process, io); err != nil {
		return nil, err
	}
	if detached {
		return nil, nil
	}
	return streams.Attach(ctx, e.socket(u.id), streams.Request{
		Exec: ex.id, Stdin: ex.ask.AttachStdin, Stdout: ex.ask.AttachStdout, Stderr: ex.ask.AttachStderr,
	})
}

// execLaunch lets the process go. A failure has been noted when it returns.
func (e *Engine) execLaunch(ctx context.Context, ex *exec) error {
	ctx = context.WithoutCancel(ctx)
	pid, err := e.Tasks.StartExec(ctx, ex.unit.id, ex.id)
	if err != nil {
		code, err := startError(err)
		if _, delErr := e.Tasks.DeleteExec(ctx, ex.unit.id, ex.id); ignoreNotFound(delErr) != nil {
			e.Logger.Error("exec that failed to start could not be deleted", "exec", ex.id, "error", delErr)
		}
		e.execs.finish(ex, code)
		return err
	}
	e.execs.started(ex, pid)
	e.publish(ex.unit, events.Action("exec_start: "+strings.Join(ex.ask.Cmd, " ")), map[string]string{"execID": ex.id})
	return nil
}

// execFailed ends an exec that has no process.
func (e *Engine) execFailed(ex *exec, err error) {
	code, _ := startError(err)
	e.execs.finish(ex, code)
}

// ExecInspect answers from memory. NotFound: no such exec, or its container has
// ended.
func (e *Engine) ExecInspect(_ context.Context, id string) (ctypes.ExecInspectResponse, error) {
	ex, err := e.execs.find(id)
	if err != nil {
		return ctypes.ExecInspectResponse{}, err
	}
	e.execs.mu.Lock()
	defer e.execs.mu.Unlock()
	privileged := ex.ask.Privileged
	return ctypes.ExecInspectResponse{
		ID:       ex.id,
		Running:  ex.state == execStarting || ex.state == execRunning,
		ExitCode: ex.exitCode,
		ProcessConfig: &ctypes.ExecProcessConfig{
			Tty: ex.ask.Tty, Entrypoint: ex.ask.Cmd[0], Arguments: ex.ask.Cmd[1:], Privileged: &privileged, User: ex.ask.User,
		},
		OpenStdin: ex.ask.AttachStdin, OpenStdout: ex.ask.AttachStdout, OpenStderr: ex.ask.AttachStderr,
		CanRemove: ex.state == execExited, ContainerID: ex.unit.id, DetachKeys: []byte(ex.ask.DetachKeys), Pid: ex.pid,
	}, nil
}

// ExecResize sets the size of a running exec's terminal, in characters.
func (e *Engine) ExecResize(ctx context.Context, id string, height, width uint32) error {
	ex, err := e.execs.find(id)
	if err != nil {
		return err
	}
	return e.Tasks.Resize(ctx, ex.unit.id, ex.id, width, height)
}

// Resize sets the size of a container's terminal, in characters. Conflict: it
// does not run.
func (e *Engine) Resize(ctx context.Context, ref string, height, width uint32) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	if !u.status().Live() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.id))
	}
	if err := e.Tasks.Resize(ctx, u.id, "", width, height); err != nil {
		return err
	}
	e.publish(u, events.ActionResize, map[string]string{"height": fmt.Sprint(height), "width": fmt.Sprint(width)})
	return nil
}
