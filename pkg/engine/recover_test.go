package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// What a record says, and what containerd has, become one truth at boot.
func TestRecovery(t *testing.T) {
	const pid = 1 << 30
	then := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	ran := func(s container.State) container.Status {
		return container.Status{State: s, StartedAt: then, FinishedAt: then}
	}
	live := func(s container.State) container.Status {
		return container.Status{State: s, Pid: pid, StartedAt: then}
	}
	ending := live(container.Running)
	ending.Ending = &container.Exit{Code: 5, At: then}
	held := func(s container.Status) container.Status {
		s.Held = true
		return s
	}
	byHand := ran(container.Exited)
	byHand.ByHand = true
	none := runtime.Status("")
	removed := container.State("")
	for _, c := range []struct {
		name   string
		record container.Status
		task   runtime.Status
		how    option
		want   container.State // "": it is removed
		code   int
	}{
		{"created, nothing", container.Status{State: container.Created}, none, restart("no"), container.Created, 0},
		{"created, interrupted start", container.Status{State: container.Created}, runtime.Created, restart("no"), container.Created, 0},
		{"created, started", container.Status{State: container.Created}, runtime.Running, restart("no"), container.Running, 0},
		{"created, started and ended", container.Status{State: container.Created}, runtime.Stopped, restart("no"), container.Exited, 9},
		{"running, running", live(container.Running), runtime.Running, restart("no"), container.Running, 0},
		{"running, paused", live(container.Running), runtime.Paused, restart("no"), container.Paused, 0},
		{"running, ended", live(container.Running), runtime.Stopped, restart("no"), container.Exited, 9},
		{"running, ended, always", live(container.Running), runtime.Stopped, restart("always"), container.Running, 0},
		{"running, lost", live(container.Running), none, restart("no"), container.Exited, 255},
		{"running, lost, its exit known", ending, none, restart("no"), container.Exited, 5},
		{"running, lost, always", live(container.Running), none, restart("always"), container.Running, 0},
		{"running, interrupted restart", live(container.Running), runtime.Created, restart("always"), container.Running, 0},
		{"running, ended, removed by its exit", live(container.Running), runtime.Stopped, autoRemove, removed, 0},
		{"paused, paused", live(container.Paused), runtime.Paused, restart("no"), container.Paused, 0},
		{"paused, thawed", live(container.Paused), runtime.Running, restart("no"), container.Running, 0},
		{"paused, lost", live(container.Paused), none, restart("no"), container.Exited, 255},
		{"held, killed before the pause", held(live(container.Running)), runtime.Running, restart("no"), container.Running, 0},
		{"held, killed after the pause", held(live(container.Running)), runtime.Paused, restart("no"), container.Running, 0},
		{"held and paused", held(live(container.Paused)), runtime.Paused, restart("no"), container.Running, 0},
		{"held, killed after the thaw", held(live(container.Paused)), runtime.Running, restart("no"), container.Running, 0},
		{"held, lost", held(live(container.Paused)), none, restart("no"), container.Exited, 255},
		{"held, lost, always", held(live(container.Paused)), none, restart("always"), container.Running, 0},
		{"restarting, nothing", ran(container.Restarting), none, restart("always"), container.Running, 0},
		{"restarting, started", ran(container.Restarting), runtime.Running, restart("always"), container.Running, 0},
		{"exited, nothing", ran(container.Exited), none, restart("no"), container.Exited, 0},
		{"exited, nothing, always", ran(container.Exited), none, restart("always"), container.Running, 0},
		{"exited, by hand, always", byHand, none, restart("always"), container.Running, 0},
		{"exited, by hand, unless stopped", byHand, none, restart("unless-stopped"), container.Exited, 0},
		{"exited, running", ran(container.Exited), runtime.Running, restart("no"), container.Running, 0},
		{"exited, its task left", ran(container.Exited), runtime.Stopped, restart("no"), container.Exited, 0},
		{"exited, removed by its exit", ran(container.Exited), none, autoRemove, removed, 0},
		{"removing, nothing", ran(container.Removing), none, restart("no"), removed, 0},
		{"removing, its task left", ran(container.Removing), runtime.Stopped, restart("no"), removed, 0},
		{"dead, its task left", ran(container.Dead), runtime.Running, restart("no"), removed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				first := w.engine()
				id := w.create(first, c.how)
				first.Close()
				w.put(id, c.record)
				if c.task != none {
					task := runtime.Task{ID: id, Pid: pid, Status: c.task}
					if c.task == runtime.Stopped {
						task.Exit = runtime.Exit{Code: 9, At: then.Add(time.Hour)}
						if strings.Contains(c.name, "its task left") {
							task.Exit.At = then
						}
					}
					w.tasks.set(task)
				}
				e := w.engine()
				<-time.After(time.Second) // restarts have their delay
				synctest.Wait()
				if c.want == removed {
					w.gone(e, id)
					return
				}
				s := w.status(e, id)
				if s.State != c.want || s.ExitCode != c.code || s.Held {
					t.Errorf("%+v", s)
				}
				tasks, _ := w.tasks.Tasks(t.Context())
				if len(tasks) == 1 && (tasks[0].Status == runtime.Paused) != (c.want == container.Paused) {
					t.Errorf("%+v, but the task is %s", s, tasks[0].Status)
				}
				if s.Live() != (len(tasks) == 1) || len(tasks) == 1 && tasks[0].Pid != s.Pid {
					t.Errorf("%+v has %+v", s, tasks)
				}
			})
		})
	}
}

// put has the record on disk say something else.
func (w *world) put(id string, s container.Status) {
	w.t.Helper()
	r, _ := w.store.stored(w.t, id)
	b, err := container.Encode(r, s)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = w.store.put(id, b)
}

// What has no record is a leftover.
func TestRecoverySweeps(t *testing.T) {
	w := newWorld(t)
	w.tasks.set(runtime.Task{ID: "orphan", Pid: 1 << 30, Status: runtime.Running})
	e := w.engine()
	if _, err := e.Reader().Inspect(t.Context(), "orphan", false); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	w.gone(e, "orphan")
	if tasks, _ := w.tasks.Tasks(t.Context()); len(tasks) > 0 {
		t.Errorf("left: %+v", tasks)
	}
}

// An engine that ends leaves what runs, and the next one has it.
func TestCloseAndRecover(t *testing.T) {
	w := newWorld(t)
	first := w.engine()
	id := w.run(first, restart(ctypes.RestartPolicyAlways))
	before := w.status(first, id)
	first.Close()
	if err := first.Start(t.Context(), id); !errdefs.IsUnavailable(err) {
		t.Errorf("closed: %v", err)
	}
	second := w.engine()
	if s := w.status(second, id); s.State != container.Running || s.Pid != before.Pid || !s.StartedAt.Equal(before.StartedAt) {
		t.Errorf("%+v, was %+v", s, before)
	}
}
