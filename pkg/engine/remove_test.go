package engine

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
)

// gone checks that nothing is left of a container.
func (w *world) gone(e *Engine, id string) {
	w.t.Helper()
	if _, err := e.Reader().Inspect(w.t.Context(), id, false); !errdefs.IsNotFound(err) {
		w.t.Errorf("inspect: %v", err)
	}
	e.remover.wait()
	if _, err := os.Stat(e.creator.Dir(id)); !os.IsNotExist(err) {
		w.t.Errorf("folder: %v", err)
	}
	roots, _ := w.tasks.Rootfs(w.t.Context())
	stored, _ := w.store.Containers()
	if len(roots) > 0 || len(stored) > 0 {
		w.t.Errorf("left: %v, %v", roots, stored)
	}
}

func TestRemove(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []option
		prepare func(w *world, e *Engine, id string)
		force   bool
		refused bool
	}{
		{name: "created"},
		{name: "running", prepare: (*world).start, refused: true},
		{name: "running, by force", prepare: (*world).start, force: true},
		{name: "paused, by force", prepare: (*world).pause, force: true},
		{name: "paused", prepare: (*world).pause, refused: true},
		{name: "restarting, by force", options: []option{restart("always")}, prepare: (*world).fail, force: true},
		{name: "removed by its exit, by force", options: []option{autoRemove}, prepare: (*world).start, force: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine()
			id := w.create(e, c.options...)
			if c.prepare != nil {
				c.prepare(w, e, id)
			}
			err := e.Remove(t.Context(), id, RemoveOptions{Force: c.force})
			if c.refused {
				if !errdefs.IsConflict(err) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Error(err)
			}
			w.gone(e, id)
		})
	}
}

func (w *world) start(e *Engine, id string) {
	if err := e.Start(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pause(e *Engine, id string) {
	w.start(e, id)
	if err := e.Pause(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

// fail has it wait for a restart.
func (w *world) fail(e *Engine, id string) {
	w.start(e, id)
	w.tasks.end(id, 1)
	w.await(e, id, is(container.Restarting))
}

// A removal that failed can be made again.
func TestRemoveOfDead(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e)
	w.journal.failing("store-delete", errors.New("boom"))
	if err := e.Remove(t.Context(), id, RemoveOptions{}); err == nil {
		t.Error("no error")
	}
	if s := w.status(e, id); s.State != container.Dead {
		t.Errorf("%+v", s)
	}
	w.journal.failing("store-delete", nil)
	if err := e.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Error(err)
	}
	w.gone(e, id)
}

// TestRemoveWithoutContainerd: what a removal could not give back it gives back when
// containerd is there again, a task that a start which was cut off left included.
func TestRemoveWithoutContainerd(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e)
	w.tasks.failing("delete-task", errdefs.ErrUnavailable)
	w.tasks.failing("remove-container", errdefs.ErrUnavailable)
	w.tasks.mu.Lock()
	w.tasks.all[id] = &fakeTask{Task: runtime.Task{ID: id, Status: runtime.Created}}
	w.tasks.mu.Unlock()
	if err := e.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.journal.only("remove-container") == "" { // tried once
		<-tick.C
	}
	w.tasks.failing("delete-task", nil)
	w.tasks.failing("remove-container", nil)
	w.gone(e, id)
	if left, _ := w.tasks.Tasks(t.Context()); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
