package exec

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/supervise"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// StartOptions are those of POST /exec/{id}/start.
type StartOptions struct {
	Detach      bool
	Tty         bool
	ConsoleSize *[2]uint // height, width
}

// ExecStart runs it. Unless detached it returns when the command's output has
// ended. InvalidArgument: it cannot be executed.
func (x *Execs) ExecStart(ctx context.Context, id string, o StartOptions, open attach.OpenConn) error {
	ctx, end := trace.Start(ctx, "exec")
	defer end()
	ex, err := x.find(id)
	if err != nil {
		return err
	}
	if err := runnable(ex.unit); err != nil {
		return err
	}
	if err := x.begin(ex); err != nil {
		return err
	}
	size := o.ConsoleSize
	if size == nil {
		size = ex.ask.ConsoleSize
	}
	conn, err := x.task(ctx, ex, size, o.Detach)
	if err != nil {
		_ = x.abandon(ctx, ex, err) // ours has its words already
		return err
	}
	if o.Detach {
		return x.launch(ctx, ex)
	}
	client, err := open(ex.ask.Tty)
	if err != nil {
		_ = conn.Close()            // nothing was read from or written to it
		_ = x.abandon(ctx, ex, err) // ours has its words already
		return err
	}
	defer client.Close()
	if err := x.launch(ctx, ex); err != nil {
		_ = conn.Close() // nothing was read from or written to it
		return report(client, ex, err)
	}
	keys, _ := attach.Keys(ex.ask.DetachKeys, ex.ask.Tty) // checked by ExecCreate
	if attach.Copy(ctx, attach.Streams{Client: client, Shim: conn, Stdin: ex.ask.AttachStdin, Keys: keys, Settled: ex.done}) {
		x.Events.Publish(ex.unit.Event(events.ActionExecDetach, map[string]string{"execID": ex.id}))
	}
	return nil
}

// report tells a client, whose connection is a stream by now, why its
// command did not run, as Docker does: on the stream.
func report(client attach.Conn, ex *exec, err error) error {
	w := io.Writer(client)
	if !ex.ask.Tty {
		w = streams.NewFrameWriter(client, streams.Stderr)
	}
	_, _ = fmt.Fprintf(w, "%s\r\n", err) // a client that has gone reads no reasons
	_ = client.CloseWrite()
	return err
}

// task makes the process, not yet started, and joins the client to it.
func (x *Execs) task(ctx context.Context, ex *exec, size *[2]uint, detached bool) (*net.UnixConn, error) {
	u := ex.unit
	ask := ex.ask
	ask.ConsoleSize = size
	process, err := x.Process(ctx, u.View().Record, &ask)
	if err != nil {
		return nil, err
	}
	io := attach.IO(streams.Config{
		ID: u.ID, Exec: ex.id, Socket: x.Socket(u.ID), Tty: ex.ask.Tty, Stdin: ex.ask.AttachStdin, StdinOnce: true, Limit: ex.limit,
	})
	if err := x.Tasks.Exec(context.WithoutCancel(ctx), u.ID, ex.id, process, io); err != nil {
		return nil, err
	}
	if detached {
		return nil, nil
	}
	return streams.Attach(ctx, x.Socket(u.ID), streams.Request{
		Exec: ex.id, Stdin: ex.ask.AttachStdin, Stdout: ex.ask.AttachStdout, Stderr: ex.ask.AttachStderr,
	})
}

// launch lets the process go. A failure has been noted when it returns.
func (x *Execs) launch(ctx context.Context, ex *exec) error {
	ctx = context.WithoutCancel(ctx)
	pid, err := x.Tasks.StartExec(ctx, ex.unit.ID, ex.id)
	close(ex.launched)
	if err != nil {
		return x.abandon(ctx, ex, err)
	}
	x.started(ex, pid)
	x.Events.Publish(ex.unit.Event(events.Action("exec_start: "+strings.Join(ex.ask.Cmd, " ")), map[string]string{"execID": ex.id}))
	return nil
}

// abandon ends an exec whose process did not start, and says why in Docker's
// words.
func (x *Execs) abandon(ctx context.Context, ex *exec, err error) error {
	code, err := supervise.ExecError(err)
	_, delErr := x.Tasks.DeleteExec(context.WithoutCancel(ctx), ex.unit.ID, ex.id)
	if delErr != nil && !errdefs.IsNotFound(delErr) {
		x.Logger.Error("exec that was not started could not be deleted", "exec", ex.id, "error", delErr)
	}
	x.finish(ex, code)
	return err
}

// ExecInspect answers from memory. NotFound: no such exec, or its container has
// ended.
func (x *Execs) ExecInspect(_ context.Context, id string) (ctypes.ExecInspectResponse, error) {
	ex, err := x.find(id)
	if err != nil {
		return ctypes.ExecInspectResponse{}, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	privileged := ex.ask.Privileged
	return ctypes.ExecInspectResponse{
		ID:       ex.id,
		Running:  ex.state == execStarting || ex.state == execRunning,
		ExitCode: ex.exitCode,
		ProcessConfig: &ctypes.ExecProcessConfig{
			Tty: ex.ask.Tty, Entrypoint: ex.ask.Cmd[0], Arguments: ex.ask.Cmd[1:], Privileged: &privileged, User: ex.ask.User,
		},
		OpenStdin: ex.ask.AttachStdin, OpenStdout: ex.ask.AttachStdout, OpenStderr: ex.ask.AttachStderr,
		ContainerID: ex.unit.ID, DetachKeys: []byte(ex.ask.DetachKeys), Pid: ex.pid,
	}, nil
}

// ExecResize sets the size of a running exec's terminal, in characters.
func (x *Execs) ExecResize(ctx context.Context, id string, height, width uint32) error {
	ex, err := x.find(id)
	if err != nil {
		return err
	}
	if err := runnable(ex.unit); err != nil {
		return err
	}
	return x.Tasks.Resize(ctx, ex.unit.ID, ex.id, width, height)
}
