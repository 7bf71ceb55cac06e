package engine

import (
	"testing"
	"testing/synctest"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/runtime"
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
