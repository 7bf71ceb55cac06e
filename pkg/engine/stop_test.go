package engine

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

func seconds(n int) StopOptions { return StopOptions{Timeout: &n} }

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name     string
		stubborn bool
		options  StopOptions
		signals  string
		code     int
		after    time.Duration
	}{
		{"obeys", false, StopOptions{}, "kill-15", 143, 0},
		{"is killed after the timeout", true, seconds(7), "kill-15 kill-9", 137, 7 * time.Second},
		{"is killed after the default", true, StopOptions{}, "kill-15 kill-9", 137, 10 * time.Second},
		{"is killed at once", true, seconds(0), "kill-15 kill-9", 137, 0},
		{"another signal", false, StopOptions{Signal: "KILL"}, "kill-9", 137, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine()
				id := w.run(e, restart(ctypes.RestartPolicyAlways))
				w.tasks.ignored = c.stubborn
				w.journal.take()
				began := time.Now()
				if err := e.Stop(t.Context(), id, c.options); err != nil {
					t.Fatal(err)
				}
				if got := w.journal.signals(); got != c.signals {
					t.Errorf("signals %q, want %q", got, c.signals)
				}
				s := w.status(e, id)
				if s.State != container.Exited || s.ExitCode != c.code || !s.ByHand {
					t.Errorf("%+v", s)
				}
				if took := time.Since(began); took != c.after {
					t.Errorf("after %v, want %v", took, c.after)
				}
				if _, stored := w.store.stored(t, id); !stored.ByHand {
					t.Error("the intent is not on disk")
				}
				if err := e.Stop(t.Context(), id, c.options); !errdefs.IsNotModified(err) {
					t.Errorf("stopped again: %v", err)
				}
			})
		})
	}
}

func TestStopOfPaused(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e)
	if err := e.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(t.Context(), id, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := w.status(e, id); s.State != container.Exited {
		t.Errorf("%+v", s)
	}
}

// TestStopByNoSignal: a number that is no signal's stands in no stop's way.
func TestStopByNoSignal(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e, func(c *ctypes.Config, _ *ctypes.HostConfig) { c.StopSignal = "65" })
	if err := e.Stop(t.Context(), id, StopOptions{Signal: "65"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("asked for: %v", err)
	}
	if err := e.Stop(t.Context(), id, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := w.status(e, id); s.State != container.Exited || s.ExitCode != 137 {
		t.Errorf("%+v", s)
	}
}

// A stop ends the wait for a restart, and nothing starts any more.
func TestStopOfRestarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e, restart(ctypes.RestartPolicyAlways))
		w.tasks.end(id, 1)
		w.await(e, id, is(container.Restarting))
		if err := e.Stop(t.Context(), id, StopOptions{}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		if s := w.status(e, id); s.State != container.Exited || s.ExitCode != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestKill(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e)
	if err := e.Kill(t.Context(), id, "USR1"); err != nil {
		t.Fatal(err)
	}
	if s := w.status(e, id); s.State != container.Running || s.ByHand {
		t.Errorf("after a signal: %+v", s)
	}
	if err := e.Kill(t.Context(), id, "nonsense"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("nonsense: %v", err)
	}
	if err := e.Kill(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	if s := w.status(e, id); s.State != container.Exited || s.ExitCode != 128+int(syscall.SIGKILL) {
		t.Errorf("after the kill: %+v", s)
	}
	if err := e.Kill(t.Context(), id, ""); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "is not running") {
		t.Errorf("killed again: %v", err)
	}
}

// An exit that comes with the end of the timeout is the end of the stop: what
// it is followed by is not killed, and a container that it removed was stopped.
func TestExitAtTheTimeout(t *testing.T) {
	for name, how := range map[string]option{"stays": restart("no"), "is removed": autoRemove} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine()
				id := w.run(e, how)
				w.tasks.ignored = true
				u, err := e.units.Find(id)
				if err != nil {
					t.Fatal(err)
				}
				stopped := make(chan error, 1)
				go func() { stopped <- e.Stop(t.Context(), id, seconds(7)) }()
				<-time.After(6 * time.Second)
				release := make(chan struct{})
				u.Post(func() { <-release })
				w.tasks.end(id, 0)
				<-time.After(2 * time.Second)
				close(release)
				if err := <-stopped; err != nil {
					t.Error(err)
				}
				if n := w.events.count(events.ActionKill); n != 1 {
					t.Errorf("%d signals", n)
				}
			})
		})
	}
}

// A restart does not remove a container that its exit would remove.
func TestRestartOfAutoRemove(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e, autoRemove)
	first := w.status(e, id).Pid
	if err := e.Restart(t.Context(), id, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := w.status(e, id); s.State != container.Running || s.Pid == first {
		t.Errorf("%+v", s)
	}
	if err := e.Stop(t.Context(), id, StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Wait(t.Context(), id, ctypes.WaitConditionRemoved, func() {}); err != nil && !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	w.gone(e, id)
}
