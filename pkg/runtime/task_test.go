package runtime

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestLifecycle(t *testing.T) {
	b := newBox(t, bench.rt)
	events := b.r.Events(t.Context())
	if err := b.r.CreateTask(t.Context(), b.config("sh", "-c", "echo hello; exit 7")); err != nil {
		t.Fatal(err)
	}
	created := b.task()
	if created.Status != Created || created.Pid == 0 {
		t.Errorf("after create: %+v", created)
	}
	if err := b.r.CreateTask(t.Context(), b.config("true")); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a second create: %v", err)
	}
	pid, err := b.r.StartTask(t.Context(), b.id)
	if err != nil || pid != created.Pid {
		t.Fatalf("start: %d, %v; created was %+v", pid, err, created)
	}
	e := b.expect(events, KindExit, "")
	if e.Exit.Code != 7 || e.Pid != pid || time.Since(e.Exit.At) > time.Minute {
		t.Errorf("event %+v", e)
	}
	if got := b.task(); got.Status != Stopped || got.Exit.Code != 7 {
		t.Errorf("after exit: %+v", got)
	}
	x, err := b.r.DeleteTask(t.Context(), b.id)
	if err != nil || x.Code != 7 || !x.At.Equal(e.Exit.At) {
		t.Errorf("delete: %+v, %v", x, err)
	}
	if b.output() != "hello\n" {
		t.Errorf("output %q", b.output())
	}
	b.gone()
	if _, err := b.r.DeleteTask(t.Context(), b.id); !errdefs.IsNotFound(err) {
		t.Errorf("a second delete: %v", err)
	}
	for what, list := range map[string]func() ([]string, error){
		"containers": func() ([]string, error) { return b.r.Containers(t.Context()) },
		"snapshots":  func() ([]string, error) { return b.r.Rootfs(t.Context()) },
	} {
		if ids, err := list(); err != nil || !slices.Contains(ids, b.id) {
			t.Errorf("%s: %v, %v", what, ids, err)
		}
	}
}

// A second start takes the new spec, and the files that the first one wrote.
func TestStartAgain(t *testing.T) {
	b := newBox(t, bench.rt)
	events := b.r.Events(t.Context())
	for _, script := range []string{"echo one >/file", "cat /file; ls -a /.dockerenv", "cat /file; ls -a /.dockerenv"} {
		b.run("sh", "-c", script)
		if e := b.expect(events, KindExit, ""); e.Exit.Code != 0 {
			t.Fatalf("%s: %+v: %s", script, e, b.output())
		}
		if _, err := b.r.DeleteTask(t.Context(), b.id); err != nil {
			t.Fatal(err)
		}
	}
	if want := strings.Repeat("one\n/.dockerenv\n", 2); b.output() != want {
		t.Errorf("output %q", b.output())
	}
}

func TestCreateFails(t *testing.T) {
	for name, c := range map[string]struct{ command, text string }{
		"missing":        {"no-such-command", `"no-such-command": executable file not found in $PATH`},
		"missing-path":   {"/no/such", "no such file or directory"},
		"not-executable": {"/not-executable", "permission denied"},
		"folder":         {"/etc", "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, bench.rt)
			err := b.r.CreateTask(t.Context(), b.config(c.command))
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
			b.gone()
			if ids, err := b.r.Containers(t.Context()); err != nil || slices.Contains(ids, b.id) {
				t.Errorf("containers: %v, %v", ids, err)
			}
		})
	}
	t.Run("runtime", func(t *testing.T) {
		b := newBox(t, bench.rt)
		c := b.config("true")
		c.Runtime = "kata"
		err := b.r.CreateTask(t.Context(), c)
		if !errdefs.IsInvalidArgument(err) || err.Error() != "unknown or invalid runtime name: kata" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("parent", func(t *testing.T) {
		if err := bench.rt.CreateRootfs(t.Context(), "orphan", "sha256:00"); !errdefs.IsNotFound(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestKill(t *testing.T) {
	b := newBox(t, bench.rt)
	if err := b.r.KillTask(t.Context(), b.id, syscall.SIGTERM); !errdefs.IsNotFound(err) {
		t.Errorf("without a task: %v", err)
	}
	events := b.r.Events(t.Context())
	b.trap(3)
	if err := b.r.KillTask(t.Context(), b.id, 0); err != nil {
		t.Errorf("signal 0: %v", err)
	}
	if err := b.r.KillTask(t.Context(), b.id, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := b.expect(events, KindExit, ""); e.Exit.Code != 3 {
		t.Errorf("event %+v", e)
	}
	if err := b.r.KillTask(t.Context(), b.id, syscall.SIGTERM); !errdefs.IsNotFound(err) {
		t.Errorf("after its end: %v", err)
	}
}

func TestDeleteKills(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, b *box){
		"created": func(t *testing.T, b *box) {
			if err := b.r.CreateTask(t.Context(), b.config("sleep", "100")); err != nil {
				t.Fatal(err)
			}
		},
		"running": func(_ *testing.T, b *box) { b.run("sleep", "100") },
		"paused": func(t *testing.T, b *box) {
			b.run("sleep", "100")
			if err := b.r.PauseTask(t.Context(), b.id); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, bench.rt)
			prepare(t, b)
			pid := b.task().Pid
			x, err := b.r.DeleteTask(t.Context(), b.id)
			if err != nil || x.Code != killed {
				t.Errorf("delete: %+v, %v", x, err)
			}
			mustBeDead(t, pid)
			b.gone()
		})
	}
}

func TestPause(t *testing.T) {
	b := newBox(t, bench.rt)
	events := b.r.Events(t.Context())
	b.run("sleep", "100")
	if err := b.r.PauseTask(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	b.expect(events, KindPaused, "")
	if got := b.task(); got.Status != Paused {
		t.Errorf("after pause: %+v", got)
	}
	if err := b.r.ResumeTask(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	b.expect(events, KindResumed, "")
	if got := b.task(); got.Status != Running {
		t.Errorf("after resume: %+v", got)
	}
}

func TestExec(t *testing.T) {
	b := newBox(t, bench.rt)
	events := b.r.Events(t.Context())
	b.run("sleep", "100")
	io := IO{Stdout: "file://" + b.out, Stderr: "file://" + b.out}
	if err := b.r.Exec(t.Context(), b.id, "one", testProcess("sh", "-c", "echo in exec; exit 5"), io); err != nil {
		t.Fatal(err)
	}
	if err := b.r.Exec(t.Context(), b.id, "one", testProcess("true"), io); !errdefs.IsAlreadyExists(err) {
		t.Errorf("the same again: %v", err)
	}
	pid, err := b.r.StartExec(t.Context(), b.id, "one")
	if err != nil || pid == 0 {
		t.Fatal(pid, err)
	}
	if e := b.expect(events, KindExit, "one"); e.Exit.Code != 5 || e.Pid != pid {
		t.Errorf("event %+v", e)
	}
	if x, ended, err := b.r.ExecExit(t.Context(), b.id, "one"); err != nil || !ended || x.Code != 5 {
		t.Errorf("looked at: %+v, %v, %v", x, ended, err)
	}
	if x, err := b.r.DeleteExec(t.Context(), b.id, "one"); err != nil || x.Code != 5 {
		t.Errorf("delete: %+v, %v", x, err)
	}
	if b.output() != "in exec\n" {
		t.Errorf("output %q", b.output())
	}
	if _, err := b.r.DeleteExec(t.Context(), b.id, "one"); !errdefs.IsNotFound(err) {
		t.Errorf("a second delete: %v", err)
	}
}

func TestExecEnds(t *testing.T) {
	b := newBox(t, bench.rt)
	b.run("sleep", "100")
	if err := b.r.KillExec(t.Context(), b.id, "none", syscall.SIGKILL); !errdefs.IsNotFound(err) {
		t.Errorf("kill of no exec: %v", err)
	}
	if err := b.r.Exec(t.Context(), b.id, "missing", testProcess("no-such-command"), IO{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.StartExec(t.Context(), b.id, "missing"); err == nil || !strings.Contains(err.Error(), "executable file not found") {
		t.Errorf("a missing command: %v", err)
	}
	if _, err := b.r.DeleteExec(t.Context(), b.id, "missing"); ignore(err, errdefs.IsNotFound) != nil {
		t.Error(err)
	}
	if err := b.r.Exec(t.Context(), b.id, "never-started", testProcess("true"), IO{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.DeleteExec(t.Context(), b.id, "never-started"); err != nil {
		t.Error(err)
	}
	if err := b.r.Exec(t.Context(), b.id, "long", testProcess("sleep", "100"), IO{}); err != nil {
		t.Fatal(err)
	}
	pid, err := b.r.StartExec(t.Context(), b.id, "long")
	if err != nil {
		t.Fatal(err)
	}
	if _, ended, err := b.r.ExecExit(t.Context(), b.id, "long"); err != nil || ended {
		t.Errorf("one that runs has ended: %v, %v", ended, err)
	}
	if _, _, err := b.r.ExecExit(t.Context(), b.id, "none"); !errdefs.IsNotFound(err) {
		t.Errorf("none was looked at: %v", err)
	}
	pids, err := b.r.Pids(t.Context(), b.id)
	if err != nil || !slices.Contains(pids, pid) || len(pids) != 2 {
		t.Errorf("pids %v without %d: %v", pids, pid, err)
	}
	if x, err := b.r.DeleteExec(t.Context(), b.id, "long"); err != nil || x.Code != killed {
		t.Errorf("delete of a running one: %+v, %v", x, err)
	}
	mustBeDead(t, pid)
}

// Somebody kills the shim: the container must not go on without it.
func TestDeadShim(t *testing.T) {
	for name, wait := range map[string]bool{"after-event": true, "at-once": false} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, bench.rt)
			events := b.r.Events(t.Context())
			pid := b.run("sh", "-c", "sleep 100")
			shim := parent(t, pid)
			if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if wait {
				if e := b.expect(events, KindExit, ""); e.Exit.Code != killed {
					t.Errorf("event %+v", e)
				}
			}
			x, err := b.r.DeleteTask(t.Context(), b.id)
			if ignore(err, errdefs.IsNotFound) != nil || err == nil && x.Code != killed {
				t.Errorf("delete: %+v, %v", x, err)
			}
			mustBeDead(t, pid)
			b.gone()
			b.run("true") // the container starts again
		})
	}
}

func mustBeDead(t *testing.T, pid int) {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if _, rest, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(rest, "Z") { // a zombie waits for init
		t.Errorf("process %d lives on: %s %v", pid, stat, err)
	}
}

// parent reads a process's parent: its shim.
func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	ppid, err := strconv.Atoi(strings.Fields(rest)[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}
