// Package output is what containers print and read: clients are joined to the
// live streams (attach), to the log (logs), or to both. The bytes of a live stream
// are the shim's, copied both ways; the log is read from disk. Nothing here changes
// a container.
package output

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Streams moves bytes between clients and containers.
type Streams struct {
	layout.Layout
	Units  *unit.Registry
	Tasks  Terminals
	Events interface{ Publish(events.Message) }
}

// Terminals sets the size of a process's terminal; execID "" is the first one.
type Terminals interface {
	Resize(ctx context.Context, id, execID string, width, height uint32) error
}

// AttachOptions are those of POST /containers/{id}/attach.
type AttachOptions struct {
	Stdin, Stdout, Stderr bool
	Stream                bool // follow live output
	Logs                  bool // replay the log first
	DetachKeys            string
}

// Attach joins a client to a container's streams. To one that does not run yet
// it attaches before the first byte of its next start; the bytes are the
// shim's, copied both ways.
func (s *Streams) Attach(ctx context.Context, ref string, o AttachOptions, open attach.OpenConn) error {
	u, err := s.Units.Find(ref)
	if err != nil {
		return err
	}
	return s.attach(ctx, u, ref, o, open)
}

// Resize sets the size of a container's terminal, in characters. Conflict: it
// does not run.
func (s *Streams) Resize(ctx context.Context, ref string, height, width uint32) error {
	u, err := s.Units.Find(ref)
	if err != nil {
		return err
	}
	if !u.Status().Live() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.ID))
	}
	if err := s.Tasks.Resize(ctx, u.ID, "", width, height); err != nil {
		return err
	}
	s.Events.Publish(u.Event(events.ActionResize, map[string]string{"height": fmt.Sprint(height), "width": fmt.Sprint(width)}))
	return nil
}

// attach copies until the container's output ends or the client leaves. ref
// stands for the container in messages.
func (s *Streams) attach(ctx context.Context, u *unit.Unit, ref string, o AttachOptions, open attach.OpenConn) error {
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
	s.Events.Publish(u.Event(events.ActionAttach, nil))
	if o.Logs {
		past := *v
		past.Ended = nil
		if err := readLog(ctx, s.Log(v.Record), &past, LogsOptions{Stdout: o.Stdout, Stderr: o.Stderr, Tail: -1}, client); err != nil {
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
		s.Events.Publish(u.Event(events.ActionDetach, nil))
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
func (s *Streams) join(ctx context.Context, u *unit.Unit, c *attach.Client, ref string) error {
	status := u.Status()
	if err := attachable(status, ref); err != nil {
		return err
	}
	switch {
	case status.Gone():
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is marked for removal and cannot be attached to", u.ID))
	case status.Live():
		return c.Connect(ctx, s.Socket(u.ID))
	}
	u.Waiting.Add(c)
	return nil
}

// leave forgets a client that left before the start, and the connection that it
// did not take.
func (s *Streams) leave(u *unit.Unit, c *attach.Client) {
	if !u.Post(func() {
		u.Waiting.Remove(c)
		c.Forget()
	}) {
		c.Forget()
	}
}
