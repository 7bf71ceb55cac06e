package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/checkpoint"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

func (f *fakeTasks) CheckpointTask(_ context.Context, id, dir string, exit bool) error {
	if err := os.WriteFile(filepath.Join(dir, "pages-1.img"), nil, 0o600); err != nil {
		return err
	}
	if err := f.note("checkpoint " + filepath.Base(dir)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "inventory.img"), nil, 0o600); err != nil {
		return err
	}
	if exit {
		f.end(id, 137)
	}
	return nil
}

func TestCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		c := e.Checkpoints()
		folder := filepath.Join(w.data, "containers", id, "checkpoints")
		// One that was cut off is none, and in nobody's way.
		if err := os.MkdirAll(filepath.Join(folder, "one", "left"), 0o700); err != nil {
			t.Fatal(err)
		}
		w.checkpoints(e, "")
		if err := c.Create(t.Context(), "web", checkpoint.CreateRequest{CheckpointID: "one"}); err != nil {
			t.Fatal(err)
		}
		if s := w.status(e, id); s.State != container.Running {
			t.Errorf("left running: %+v", s)
		}
		if _, err := os.Stat(filepath.Join(folder, "one", "left")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what was cut off is still there: %v", err)
		}
		elsewhere := t.TempDir()
		if err := c.Create(t.Context(), "web", checkpoint.CreateRequest{CheckpointID: "two", CheckpointDir: elsewhere, Exit: true}); err != nil {
			t.Fatal(err)
		}
		if s := w.status(e, id); s.State != container.Exited || s.ExitCode != 137 {
			t.Errorf("after the answer: %+v", s)
		}
		w.checkpoints(e, "", "one")
		w.checkpoints(e, elsewhere, "two")
		if err := c.Restore(t.Context(), "web", elsewhere, "two"); err != nil {
			t.Fatal(err)
		}
		if s := w.status(e, id); s.State != container.Running || s.Pid != w.tasks.all[id].Pid {
			t.Errorf("restored: %+v", s)
		}
		if got := w.tasks.all[id].from; got != filepath.Join(elsewhere, "two") {
			t.Errorf("restored from %q", got)
		}
		if err := c.Restore(t.Context(), "web", elsewhere, "two"); !errdefs.IsNotModified(err) {
			t.Errorf("one that runs: %v", err)
		}
		if err := c.Remove(t.Context(), "web", elsewhere, "two"); err != nil {
			t.Fatal(err)
		}
		w.checkpoints(e, elsewhere)
		if n := w.events.count(events.ActionCheckpoint); n != 2 {
			t.Errorf("%d events", n)
		}
		// They go with the container.
		if err := e.Remove(t.Context(), id, RemoveOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the container: %v", err)
		}
	})
}

func (w *world) checkpoints(e *Engine, dir string, want ...string) {
	w.t.Helper()
	all, err := e.Checkpoints().List(w.t.Context(), "web", dir)
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	if err != nil || strings.Join(names, " ") != strings.Join(want, " ") {
		w.t.Errorf("checkpoints %v, %v; want %v", names, err, want)
	}
}

func TestCheckpointRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		c := e.Checkpoints()
		folder := filepath.Join(w.data, "containers", id, "checkpoints")
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.journal.fail["checkpoint broken"] = errors.New("no criu")
		create := func(ref, dir, id string) error {
			return c.Create(t.Context(), ref, checkpoint.CreateRequest{CheckpointID: id, CheckpointDir: dir})
		}
		if err := create("web", "", "there"); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			what string
			err  error
			is   func(error) bool
			want string
		}{
			{"twice", create("web", "", "there"), nil, "cannot checkpoint container web: checkpoint with name there already exists for container web"},
			{"below a file", create("web", file, "a0"), nil, "cannot checkpoint container web: stat " + file + "/a0: not a directory"},
			{"a file", create("web", filepath.Dir(file), "file"), nil, "cannot checkpoint container web: " + file + " exists and is not a directory"},
			{"no criu", create("web", "", "broken"), nil, "Cannot checkpoint container web: no criu"},
			{"no container", create("nobody", "", "a0"), errdefs.IsNotFound, "No such container: nobody"},
			{"a path", create("web", "", "../../x"), errdefs.IsInvalidArgument, `invalid checkpoint ID "../../x", only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`},
			{"a dot", create("web", "", "x."), errdefs.IsInvalidArgument, `invalid checkpoint ID "x.", only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`},
			{"no name", create("web", "", ""), errdefs.IsInvalidArgument, `invalid checkpoint ID "", only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`},
			{"remove a path", c.Remove(t.Context(), "web", "", "../.."), errdefs.IsInvalidArgument, `invalid checkpoint ID "../..", only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`},
			{"remove none", c.Remove(t.Context(), "web", "", "none"), nil, "checkpoint none does not exist for container web"},
			{"remove a file", c.Remove(t.Context(), "web", filepath.Dir(file), "file"), nil, file + " exists and is not a directory"},
			{"restore a path", c.Restore(t.Context(), "web", "", ".."), errdefs.IsInvalidArgument, `invalid checkpoint ID "..", only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`},
			{"restore none", c.Restore(t.Context(), "web", "", "none"), nil, "checkpoint none does not exist for container web"},
		} {
			if tc.err == nil || tc.err.Error() != tc.want || tc.is != nil && !tc.is(tc.err) {
				t.Errorf("%s: %v, want %s", tc.what, tc.err, tc.want)
			}
		}
		if _, err := c.List(t.Context(), "web", "/nowhere"); !errdefs.IsNotFound(err) {
			t.Errorf("list nowhere: %v", err)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if s := w.status(e, id); s.State != container.Running {
			t.Errorf("%+v", s)
		}
		w.tasks.end(id, 0)
		synctest.Wait()
		if err := create("web", "", "a0"); !errdefs.IsConflict(err) || err.Error() != "container "+id+" is not running" {
			t.Errorf("one that ended: %v", err)
		}
		// A restore that fails leaves the container as it was, and no task.
		w.journal.fail["start-task"] = errors.New("OCI runtime restore failed")
		if err := c.Restore(t.Context(), "web", "", "there"); err == nil {
			t.Error("restored")
		}
		if s := w.status(e, id); s.State != container.Exited || len(w.tasks.all) != 0 {
			t.Errorf("%+v with %v", s, w.tasks.all)
		}
	})
}

func TestCheckpointWithTerminal(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	w.run(e, func(c *ctypes.Config, _ *ctypes.HostConfig) { c.Tty = true })
	err := e.Checkpoints().Create(t.Context(), "web", checkpoint.CreateRequest{CheckpointID: "one"})
	if err == nil || err.Error() != "checkpoint not support on containers with tty" {
		t.Error(err)
	}
}
