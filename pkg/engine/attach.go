package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Attach joins a client to a container's streams. To one that does not run yet
// it attaches before the first byte of its next start; the bytes are the
// shim's, copied both ways.
func (e *Engine) Attach(ctx context.Context, ref string, o AttachOptions, open OpenConn) error {
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	return e.streamer.attach(ctx, u, ref, o, open)
}

// Resize sets the size of a container's terminal, in characters. Conflict: it
// does not run.
func (e *Engine) Resize(ctx context.Context, ref string, height, width uint32) error {
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	if !u.Status().Live() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.ID))
	}
	if err := e.streamer.tasks.Resize(ctx, u.ID, "", width, height); err != nil {
		return err
	}
	e.events.Publish(u.Event(events.ActionResize, map[string]string{"height": fmt.Sprint(height), "width": fmt.Sprint(width)}))
	return nil
}

// streamer moves bytes between clients and containers.
type streamer struct {
	layout
	tasks  exec.Tasks
	events Publisher
}

// attach copies until the container's output ends or the client leaves. ref
// stands for the container in messages.
func (s *streamer) attach(ctx context.Context, u *unit.Unit, ref string, o AttachOptions, open OpenConn) error {
	v := u.View()
	if err := attachable(v.Status, ref); err != nil {
		return err
	}
	tty := v.Record.Config.Tty
	keys, err := attach.Keys(o.DetachKeys, tty)
	if err != nil {
		return err
	}
	var c *attach.Client
	if o.Stream {
		c = attach.NewClient(streams.Request{Stdin: o.Stdin && v.Record.Config.OpenStdin, Stdout: o.Stdout, Stderr: o.Stderr})
		defer s.leave(u, c) // also when it is joined after the request has ended
		if err := u.Do(ctx, func(ctx context.Context) error { return s.join(ctx, u, c, ref) }); err != nil {
			return err
		}
	}
	client, err := open(tty)
	if err != nil {
		return err
	}
	defer client.Close()
	s.events.Publish(u.Event(events.ActionAttach, nil))
	if o.Logs {
		past := *v
		past.Ended = nil
		if err := readLog(ctx, s.logOf(v.Record), &past, LogsOptions{Stdout: o.Stdout, Stderr: o.Stderr, Tail: -1}, client); err != nil {
			return err
		}
	}
	if !o.Stream {
		return nil
	}
	shim, err := c.Conn(ctx)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	if attach.Copy(ctx, attach.Streams{Client: client, Shim: shim, Stdin: c.Stdin(), Keys: keys}) {
		s.events.Publish(u.Event(events.ActionDetach, nil))
	}
	return nil
}

// ignoreEnd drops an error when the request has ended: nobody reads it.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// attachable says why nobody can attach to a container.
func attachable(s container.Status, ref string) error {
	switch s.State {
	case container.Paused:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is paused, unpause the container before attach", ref))
	case container.Restarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is restarting, wait until the container is running", ref))
	}
	return nil
}

// join connects at once to what runs, or has the next start do it. Owner only.
func (s *streamer) join(ctx context.Context, u *unit.Unit, c *attach.Client, ref string) error {
	status := u.Status()
	if err := attachable(status, ref); err != nil {
		return err
	}
	switch {
	case status.Gone():
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is marked for removal and cannot be attached to", u.ID))
	case status.Live():
		return c.Connect(ctx, s.socket(u.ID))
	}
	u.Waiting.Add(c)
	return nil
}

// leave forgets a client that left before the start, and the connection that it
// did not take.
func (s *streamer) leave(u *unit.Unit, c *attach.Client) {
	if !u.Post(func() {
		u.Waiting.Remove(c)
		c.Forget()
	}) {
		c.Forget()
	}
}
