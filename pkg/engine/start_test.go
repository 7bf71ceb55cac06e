package engine

import (
	"errors"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
)

// A start that fails gives back what it had, last first, and can be made again.
func TestStartUndo(t *testing.T) {
	const all = "setup mount create-task start-task"
	for _, c := range []struct{ fails, want string }{
		{"", all},
		{"setup", "setup teardown"},
		{"mount", "setup mount unmount teardown"},
		{"create-task", "setup mount create-task delete-task unmount teardown"},
		{"start-task", all + " delete-task unmount teardown"},
	} {
		t.Run(c.fails, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine()
			id := w.create(e)
			w.journal.take()
			boom := errors.New("boom")
			w.journal.failing(c.fails, boom)
			err := e.Start(t.Context(), id)
			if got := w.journal.starting(); got != c.want {
				t.Errorf("asked for %q, want %q", got, c.want)
			}
			s := w.status(e, id)
			if c.fails == "" {
				if err != nil || s.State != container.Running || s.Sandbox.Key != "/netns" {
					t.Errorf("%v, %+v", err, s)
				}
				return
			}
			if !errors.Is(err, boom) || s.State != container.Created || s.ExitCode != 128 || s.Error == "" {
				t.Errorf("%v, %+v", err, s)
			}
			w.journal.failing(c.fails, nil)
			if err := e.Start(t.Context(), id); err != nil {
				t.Errorf("started again: %v", err)
			}
		})
	}
}

// A task that could not be deleted when its process ended stands in no start's way, and is
// deleted when containerd is heard of again.
func TestLeftTask(t *testing.T) {
	left := func() (*world, *Engine, string) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		w.journal.failing("delete-task", errors.New("containerd is away"))
		w.tasks.end(id, 3)
		w.await(e, id, func(s container.Status) bool { return s.State == container.Exited })
		w.journal.failing("delete-task", nil)
		w.journal.take()
		return w, e, id
	}
	w, e, id := left()
	if err := e.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := w.journal.starting(); got != "setup mount create-task delete-task create-task start-task" {
		t.Errorf("asked for %q", got)
	}
	w, e, id = left()
	w.tasks.emit(runtime.Event{Kind: runtime.KindResync})
	w.tasks.emit(runtime.Event{Kind: runtime.KindOOM, ID: id}) // after that
	w.await(e, id, func(s container.Status) bool { return s.OOMKilled })
	if all, err := w.tasks.Tasks(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("left: %v, %v", all, err)
	}
	if s := w.status(e, id); s.State != container.Exited || s.ExitCode != 3 {
		t.Errorf("%+v", s)
	}
}

func TestStartOfWhatRuns(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e)
	if err := e.Start(t.Context(), id); !errdefs.IsNotModified(err) {
		t.Errorf("running: %v", err)
	}
	if err := e.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), id); !errdefs.IsConflict(err) {
		t.Errorf("paused: %v", err)
	}
}

// A start that failed ends a container that is removed after its run.
func TestFailedStartOfAutoRemove(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e, autoRemove)
	w.journal.failing("start-task", errors.New("boom"))
	if err := e.Start(t.Context(), id); err == nil {
		t.Error("no error")
	}
	if _, err := e.Reader().Inspect(t.Context(), id, false); !errdefs.IsNotFound(err) {
		t.Errorf("inspect: %v", err)
	}
}

// An exit that is quicker than the answer of the start is an exit of that run.
func TestExitDuringStart(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e)
	w.tasks.quick = true
	if err := e.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.await(e, id, is(container.Exited))
	if s := w.status(e, id); s.ExitCode != 3 || s.FinishedAt.Before(s.StartedAt) {
		t.Errorf("%+v", s)
	}
}
