package engine

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Events of our own pauses come late; those of other clients are all we know.
func TestPauseEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		u, err := e.units.Find(id)
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		paused, thawed := make(chan error, 1), make(chan error, 1)
		u.Post(func() { <-release })
		go func() { paused <- e.Pause(t.Context(), id) }()
		synctest.Wait()
		go func() { thawed <- e.Unpause(t.Context(), id) }()
		synctest.Wait()
		close(release)
		if err := <-paused; err != nil {
			t.Fatal(err)
		}
		if err := <-thawed; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n, m := w.events.count(events.ActionPause), w.events.count(events.ActionUnPause); n != 1 || m != 1 {
			t.Errorf("%d pauses, %d thaws", n, m)
		}
		if s := w.status(e, id); s.State != container.Running {
			t.Errorf("%+v", s)
		}
		_ = w.tasks.freeze(id, runtime.Paused) // by somebody else
		synctest.Wait()
		if s := w.status(e, id); s.State != container.Paused {
			t.Errorf("%+v", s)
		}
	})
}

// Who looks at files has a container paused that runs, and lets go of no pause but his
// own.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		hold := func() (release func()) {
			t.Helper()
			release2, err := e.Hold(t.Context(), id, "removed meanwhile")
			must(err)
			return func() { t.Helper(); must(release2()) }
		}
		state := func(want container.State, held bool) {
			t.Helper()
			synctest.Wait()
			task, _ := w.tasks.Tasks(t.Context())
			if s := w.status(e, id); s.State != want || s.Held != held || (task[0].Status == runtime.Paused) != (want == container.Paused) {
				t.Errorf("%+v, task %s; want %s, held %v", s, task[0].Status, want, held)
			}
		}
		first := hold()
		state(container.Paused, true)
		if _, s := w.store.stored(t, id); !s.Held {
			t.Error("the intent is not on disk")
		}
		if err := e.Pause(t.Context(), id); !errdefs.IsConflict(err) {
			t.Error(err)
		}
		second := hold()
		first()
		state(container.Paused, true) // one still looks
		second()
		state(container.Running, false)
		if _, s := w.store.stored(t, id); s.Held {
			t.Error("the end of it is not on disk")
		}
		must(e.Pause(t.Context(), id))
		hold()()
		state(container.Paused, false) // a user's pause
		must(e.Unpause(t.Context(), id))
		third := hold()
		must(e.Unpause(t.Context(), id))
		must(e.Pause(t.Context(), id))
		third()
		state(container.Paused, false) // a user's, by now
		must(e.Unpause(t.Context(), id))
		w.journal.failing("store-put", errors.New("disk full"))
		if _, err := e.Hold(t.Context(), id); err == nil {
			t.Error("held without a record of it")
		}
		w.journal.failing("store-put", nil)
		state(container.Running, false)
	})
}
