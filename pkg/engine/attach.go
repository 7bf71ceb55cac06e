package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/term"
)

// Attach joins a client to a container's streams. To one that does not run yet
// it attaches before the first byte of its next start; the bytes are the
// shim's, copied both ways.
func (e *Engine) Attach(ctx context.Context, ref string, o AttachOptions, open OpenConn) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	v := u.view()
	switch v.status.State {
	case container.Paused:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is paused, unpause the container before attach", ref))
	case container.Restarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is restarting, wait until the container is running", ref))
	}
	keys, err := detachKeys(o.DetachKeys)
	if err != nil {
		return err
	}
	a := &attacher{request: streams.Request{Stdin: o.Stdin && v.record.Config.OpenStdin, Stdout: o.Stdout, Stderr: o.Stderr}}
	if o.Stream {
		a.joined = make(chan joined, 1)
		if err := u.do(ctx, func(ctx context.Context) error { return e.attach(ctx, u, a) }); err != nil {
			return err
		}
		defer e.detach(u, a)
	}
	client, err := open(v.record.Config.Tty)
	if err != nil {
		return err
	}
	defer client.Close()
	e.publish(u, events.ActionAttach, nil)
	if o.Logs {
		if err := e.replay(ctx, v, o, client); err != nil {
			return err
		}
	}
	if !o.Stream {
		return nil
	}
	return e.follow(ctx, u, a, client, keys, v.record.Config.Tty)
}

// attacher is a client that waits for, or has, a connection to the shim.
type attacher struct {
	request streams.Request
	joined  chan joined // capacity 1
}

type joined struct {
	conn *net.UnixConn
	err  error
}

// attach connects at once to what runs, or has the next start do it. Owner only.
func (e *Engine) attach(ctx context.Context, u *unit, a *attacher) error {
	s := u.status()
	if s.Gone() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is marked for removal and cannot be attached to", u.id))
	}
	if !s.Live() {
		u.waiting = append(u.waiting, a)
		return nil
	}
	conn, err := streams.Attach(ctx, e.socket(u.id), a.request)
	if err != nil {
		return err
	}
	a.joined <- joined{conn: conn}
	return nil
}

// joinWaiting connects those who attached before the start. Owner only, between
// the creation of the task and its start.
func (e *Engine) joinWaiting(ctx context.Context, u *unit) {
	for _, a := range u.waiting {
		conn, err := streams.Attach(ctx, e.socket(u.id), a.request)
		a.joined <- joined{conn, err}
	}
	u.waiting = nil
}

// dropWaiting tells them that there will be nothing to attach to. Owner only.
func (e *Engine) dropWaiting(u *unit, err error) {
	for _, a := range u.waiting {
		a.joined <- joined{err: err}
	}
	u.waiting = nil
}

// detach forgets a client that left before the start.
func (e *Engine) detach(u *unit, a *attacher) {
	u.owner.Post(func() {
		for i, w := range u.waiting {
			if w == a {
				u.waiting = append(u.waiting[:i], u.waiting[i+1:]...)
				return
			}
		}
		select {
		case j := <-a.joined: // connected, but nobody took it
			if j.conn != nil {
				j.conn.Close()
			}
		default:
		}
	})
}

// follow copies until the container's output ends or the client leaves.
func (e *Engine) follow(ctx context.Context, u *unit, a *attacher, client Conn, keys []byte, tty bool) error {
	select {
	case j := <-a.joined:
		if j.err != nil {
			return j.err
		}
		if copyStreams(ctx, client, j.conn, a.request.Stdin, stdinOf(client, tty, keys), closed()) {
			e.publish(u, events.ActionDetach, nil)
		}
		return nil
	case <-ctx.Done():
		return nil
	}
}

// stdinOf is the client's input, which on a terminal ends with the detach keys.
func stdinOf(client io.Reader, tty bool, keys []byte) io.Reader {
	if !tty || len(keys) == 0 {
		return client
	}
	return term.NewEscapeProxy(client, keys)
}

// copyStreams joins a client and a shim until the output ends and settled is
// closed: a client asks for the exit code as soon as its connection ends. It
// reports whether the client detached by its keys. Both connections are closed.
func copyStreams(ctx context.Context, client Conn, shim *net.UnixConn, withInput bool, input io.Reader, settled <-chan struct{}) (detached bool) {
	var once sync.Once
	hangUp := func() { once.Do(func() { shim.Close(); client.Close() }) }
	stop := context.AfterFunc(ctx, hangUp)
	defer stop()
	escaped := make(chan bool, 1)
	left := make(chan struct{}) // the client has gone, or detached
	leave := sync.OnceFunc(func() { close(left); hangUp() })
	go func() {
		// Without input the copy still notices that the client has gone.
		var in io.Writer = io.Discard
		if withInput {
			in = shim
		}
		_, err := io.Copy(in, input)
		var keys term.EscapeError
		switch {
		case errors.As(err, &keys):
			escaped <- true
			leave()
		case err != nil:
			escaped <- false
			leave()
		default:
			escaped <- false
			if withInput {
				shim.CloseWrite()
			}
		}
	}()
	_, err := io.Copy(client, shim) // ends with the output, or when either side hangs up
	if err == nil {
		select {
		case <-settled:
		case <-left:
		case <-ctx.Done():
		}
	}
	client.CloseWrite()
	hangUp()
	return <-escaped
}

// detachKeys reads the client's choice; the default is Docker's.
func detachKeys(s string) ([]byte, error) {
	if s == "" {
		return []byte{16, 17}, nil // ctrl-p, ctrl-q
	}
	keys, err := term.ToBytes(s)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Invalid detach keys (%s) provided", s))
	}
	return keys, nil
}

// replay sends what is in the log before the live output begins.
func (e *Engine) replay(ctx context.Context, v *view, o AttachOptions, client Conn) error {
	past := *v
	past.ended = nil
	return e.readLog(ctx, &past, LogsOptions{Stdout: o.Stdout, Stderr: o.Stderr, Tail: -1}, client)
}
