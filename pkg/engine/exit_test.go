package engine

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

func TestRestartPolicy(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy ctypes.RestartPolicyMode
		code   int
		again  bool
	}{
		{"no policy", ctypes.RestartPolicyDisabled, 1, false},
		{"always, success", ctypes.RestartPolicyAlways, 0, true},
		{"on failure, success", ctypes.RestartPolicyOnFailure, 0, false},
		{"on failure, failure", ctypes.RestartPolicyOnFailure, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine()
				id := w.run(e, restart(c.policy))
				w.journal.take()
				w.tasks.end(id, c.code)
				synctest.Wait()
				s := w.status(e, id)
				if s.ExitCode != c.code || s.Active() != c.again || s.Pid != 0 {
					t.Errorf("after the exit: %+v", s)
				}
				got := strings.Fields(w.journal.starting())
				slices.Sort(got) // the task goes beside the others
				if want := []string{"delete-task", "teardown", "unmount"}; !slices.Equal(got, want) {
					t.Errorf("gave back %q, want %q", got, want)
				}
				<-time.After(99 * time.Millisecond)
				synctest.Wait()
				if s := w.status(e, id); s.State == container.Running {
					t.Error("restarted before the delay")
				}
				<-time.After(time.Millisecond)
				synctest.Wait()
				if s := w.status(e, id); (s.State == container.Running) != c.again || s.RestartCount != map[bool]int{true: 1}[c.again] {
					t.Errorf("after the delay: %+v", s)
				}
				if n := w.events.count(events.ActionDie); n != 1 {
					t.Errorf("%d die events", n)
				}
			})
		})
	}
}

// A restart that fails is decided on like an exit, and tried less and less often.
func TestFailedRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e, restart(ctypes.RestartPolicyAlways))
		w.journal.failing("create-task", context.DeadlineExceeded)
		w.tasks.end(id, 1)
		<-time.After(100*time.Millisecond + 200*time.Millisecond)
		synctest.Wait()
		if s := w.status(e, id); s.State != container.Restarting || s.RestartCount != 3 {
			t.Errorf("%+v", s)
		}
		w.journal.failing("create-task", nil)
		<-time.After(400 * time.Millisecond)
		synctest.Wait()
		if s := w.status(e, id); s.State != container.Running {
			t.Errorf("%+v", s)
		}
	})
}

// A late event of an earlier run, or a second one of this, is no exit.
func TestExitOfEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		w.tasks.emit(runtimeExit(id, 1, 9))
		synctest.Wait()
		if s := w.status(e, id); s.State != container.Running {
			t.Errorf("%+v", s)
		}
		w.tasks.end(id, 4)
		w.tasks.emit(runtimeExit(id, w.status(e, id).Pid, 9))
		synctest.Wait()
		if s := w.status(e, id); s.ExitCode != 4 || w.events.count(events.ActionDie) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWait(t *testing.T) {
	for _, c := range []struct {
		name  string
		until ctypes.WaitCondition
		with  func(*ctypes.Config, *ctypes.HostConfig)
	}{
		{"not running", ctypes.WaitConditionNotRunning, restart("no")},
		{"next exit", ctypes.WaitConditionNextExit, restart("no")},
		{"not running, though restarted", ctypes.WaitConditionNotRunning, restart("always")},
		{"next exit, though restarted", ctypes.WaitConditionNextExit, restart("always")},
		{"removed", ctypes.WaitConditionRemoved, autoRemove},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine()
				id := w.run(e, c.with)
				answer := make(chan ctypes.WaitResponse, 1)
				go func() {
					r, err := e.Wait(t.Context(), id, c.until, func() {})
					if err != nil {
						t.Error(err)
					}
					answer <- r
				}()
				synctest.Wait()
				select {
				case r := <-answer:
					t.Errorf("while it runs: %+v", r)
				default:
				}
				w.tasks.end(id, 7)
				synctest.Wait()
				select {
				case r := <-answer:
					if r.StatusCode != 7 || r.Error != nil {
						t.Errorf("%+v", r)
					}
				default:
					t.Fatal("no answer to the exit")
				}
			})
		})
	}
}

func TestWaitOfWhatDoesNotRun(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e)
	if r, err := e.Wait(t.Context(), id, "", func() {}); err != nil || r.StatusCode != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := e.Wait(t.Context(), id, "nonsense", func() {}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("nonsense: %v", err)
	}
}
