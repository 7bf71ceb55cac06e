package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// everything is what `run` attaches with.
var everything = AttachOptions{Stdin: true, Stdout: true, Stderr: true, Stream: true}

// A client that attached before the start is joined between the creation of the
// task and its start, so that it misses nothing.
func TestAttachBeforeStart(t *testing.T) {
	w := newWorld(t)
	w.tasks.output = "hello"
	e := w.engine()
	id := w.create(e)
	w.journal.take()
	client, opened, ended := newConn(), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- e.Streams().Attach(t.Context(), id, everything, func(bool) (Conn, error) {
			close(opened)
			return client, nil
		})
	}()
	<-opened
	w.start(e, id)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := client.output(); got != "hello" {
		t.Errorf("got %q", got)
	}
	if got, want := w.journal.starting(), "setup mount create-task joined start-task"; got != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// Who waits for a start that fails, or for a container that is removed, is told.
func TestAttachToNothing(t *testing.T) {
	for name, act := range map[string]func(w *world, e *Engine, id string) error{
		"failed start": func(w *world, e *Engine, id string) error {
			w.journal.failing("create-task", errors.New("boom"))
			return e.Start(t.Context(), id)
		},
		"removal": func(_ *world, e *Engine, id string) error { return e.Remove(t.Context(), id, RemoveOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine()
			id := w.create(e)
			opened, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- e.Streams().Attach(t.Context(), id, everything, func(bool) (Conn, error) {
					close(opened)
					return newConn(), nil
				})
			}()
			<-opened
			_ = act(w, e, id)
			if err := <-ended; err == nil {
				t.Error("no error")
			}
		})
	}
}

// A client that leaves before the start is forgotten, also when its request
// ended while it was being joined.
func TestAttachLeaves(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e)
	ctx, cancel := context.WithCancel(t.Context())
	err := e.Streams().Attach(ctx, id, everything, func(bool) (Conn, error) {
		cancel()
		return newConn(), nil
	})
	if err != nil {
		t.Error(err)
	}
	u, err := e.units.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Do(t.Context(), func(context.Context) error {
		if n := u.Waiting.Len(); n != 0 {
			t.Errorf("%d wait", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestAttachRefused(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e)
	w.pause(e, id)
	open := func(bool) (Conn, error) { return nil, errors.New("opened") }
	if err := e.Streams().Attach(t.Context(), id, everything, open); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "is paused") {
		t.Errorf("paused: %v", err)
	}
	bad := everything
	bad.DetachKeys = "ctrl-nonsense"
	if err := e.Unpause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := e.Streams().Attach(t.Context(), id, bad, open); !errdefs.IsInvalidArgument(err) {
		t.Errorf("keys: %v", err)
	}
}
