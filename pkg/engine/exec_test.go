package engine

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

var ask = ctypes.ExecCreateRequest{Cmd: []string{"id"}, AttachStdout: true}

func (w *world) exec(e *Engine, id string) string {
	w.t.Helper()
	x, err := e.Execs().ExecCreate(w.t.Context(), id, ask)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

// When a client's stream ends it asks for the exit code: the answer to the
// stream's end comes after the exit is known.
func TestExecCodeBeforeEnd(t *testing.T) {
	w := newWorld(t)
	w.tasks.output = "uid=0" // the stream ends at once, the process does not
	e := w.engine()
	id := w.run(e)
	x := w.exec(e, id)
	ended := make(chan error, 1)
	client := newConn()
	started := w.events.await("exec_start: id")
	go func() {
		ended <- e.Execs().ExecStart(t.Context(), x, ExecStartOptions{}, func(bool) (Conn, error) { return client, nil })
	}()
	started()
	select {
	case err := <-ended:
		t.Fatalf("ended before the process: %v", err)
	default:
	}
	w.tasks.setExit(x, runtime.Exit{Code: 6, At: time.Now()})
	w.tasks.emit(runtime.Event{Kind: runtime.KindExit, ID: id, ExecID: x})
	if err := <-ended; err != nil {
		t.Error(err)
	}
	in, err := e.Execs().ExecInspect(t.Context(), x)
	if err != nil || in.Running || in.ExitCode == nil || *in.ExitCode != 6 || client.output() != "uid=0" {
		t.Errorf("%+v, %v, %q", in, err, client.output())
	}
	if err := e.Execs().ExecStart(t.Context(), x, ExecStartOptions{}, nil); !errdefs.IsConflict(err) {
		t.Errorf("started again: %v", err)
	}
}

// The code of a command can be asked for when its container has ended, and no size
// be given to it.
func TestExecAfterItsContainer(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e)
	x := w.exec(e, id)
	if err := e.Execs().ExecStart(t.Context(), x, ExecStartOptions{Detach: true}, nil); err != nil {
		t.Fatal(err)
	}
	died := w.events.await("die")
	w.tasks.end(id, 0)
	died()
	if in, err := e.Execs().ExecInspect(t.Context(), x); err != nil || in.Running || in.ExitCode == nil || *in.ExitCode != 137 {
		t.Errorf("%+v, %v", in, err)
	}
	if err := e.Execs().ExecResize(t.Context(), x, 1, 1); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "is not running") {
		t.Errorf("resize: %v", err)
	}
	if err := e.Remove(t.Context(), id, RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Execs().ExecInspect(t.Context(), x); !errdefs.IsNotFound(err) {
		t.Errorf("of a container that is gone: %v", err)
	}
}

// containerd looks at a process once more after its start: one that has ended by
// then must not have been deleted.
func TestExecQuickerThanItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		x := w.exec(e, id)
		w.journal.take()
		w.tasks.setExit(x, runtime.Exit{Code: 6, At: time.Now()})
		w.tasks.starting = func() {
			w.tasks.emit(runtime.Event{Kind: runtime.KindExit, ID: id, ExecID: x})
			synctest.Wait()
		}
		if err := e.Execs().ExecStart(t.Context(), x, ExecStartOptions{Detach: true}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.journal.take(); got != "exec start-exec delete-exec" {
			t.Errorf("got %q", got)
		}
		if in, err := e.Execs().ExecInspect(t.Context(), x); err != nil || in.ExitCode == nil || *in.ExitCode != 6 {
			t.Errorf("%+v, %v", in, err)
		}
	})
}

// Its exit is in a gap of containerd's events: it is asked for when the gap ends.
func TestExecEndsInAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		x := w.exec(e, id)
		if err := e.Execs().ExecStart(t.Context(), x, ExecStartOptions{Detach: true}, nil); err != nil {
			t.Fatal(err)
		}
		gap := func() *ctypes.ExecInspectResponse {
			w.tasks.emit(runtime.Event{Kind: runtime.KindResync})
			synctest.Wait()
			in, err := e.Execs().ExecInspect(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			return &in
		}
		if in := gap(); !in.Running {
			t.Errorf("a process that runs: %+v", in)
		}
		w.tasks.setExit(x, runtime.Exit{Code: 6, At: time.Now()})
		if in := gap(); in.Running || in.ExitCode == nil || *in.ExitCode != 6 {
			t.Errorf("a process that has ended: %+v", in)
		}
	})
}

// What could not be started leaves no process behind.
func TestExecAbandoned(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name, fails, want string
	}{
		{"process", "exec", "exec delete-exec"},
		{"client", "open", "exec joined delete-exec"},
		{"start", "start-exec", "exec joined start-exec delete-exec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.tasks.output = "x"
			e := w.engine()
			id := w.run(e)
			x := w.exec(e, id)
			w.journal.take()
			w.journal.failing(c.fails, boom)
			err := e.Execs().ExecStart(t.Context(), x, ExecStartOptions{}, func(bool) (Conn, error) {
				if c.fails == "open" {
					return nil, boom
				}
				return newConn(), nil
			})
			if !errors.Is(err, boom) {
				t.Errorf("%v", err)
			}
			if got := w.journal.only("exec", "joined", "start-exec", "delete-exec"); got != c.want {
				t.Errorf("asked for %q, want %q", got, c.want)
			}
			if in, err := e.Execs().ExecInspect(t.Context(), x); err != nil || in.Running || in.ExitCode == nil {
				t.Errorf("%+v, %v", in, err)
			}
		})
	}
}

// Execs end with their container; those that ended long before are forgotten.
func TestExecsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		x := w.exec(e, id)
		if err := e.Execs().ExecStart(t.Context(), x, ExecStartOptions{Detach: true}, nil); err != nil {
			t.Fatal(err)
		}
		w.tasks.emit(runtime.Event{Kind: runtime.KindExit, ID: id, ExecID: x})
		<-time.After(9 * time.Minute)
		y := w.exec(e, id)
		if _, err := e.Execs().ExecInspect(t.Context(), x); err != nil {
			t.Errorf("after nine minutes: %v", err)
		}
		<-time.After(2 * time.Minute)
		z := w.exec(e, id)
		if _, err := e.Execs().ExecInspect(t.Context(), x); !errdefs.IsNotFound(err) {
			t.Errorf("after eleven minutes: %v", err)
		}
		w.tasks.end(id, 0)
		synctest.Wait()
		for _, x := range []string{y, z} {
			if _, err := e.Execs().ExecInspect(t.Context(), x); !errdefs.IsNotFound(err) {
				t.Errorf("after the container: %v", err)
			}
		}
		if _, err := e.Execs().ExecCreate(t.Context(), id, ask); !errdefs.IsConflict(err) {
			t.Errorf("in what does not run: %v", err)
		}
	})
}
