package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// liveForever takes containers through all steps of their lives.
func liveForever(r *Runtime) error {
	ctx := context.Background()
	for n := 0; ; n++ {
		id := fmt.Sprintf("brt-%d-%d", os.Getpid(), n)
		if err := r.CreateRootfs(ctx, id, base); err != nil {
			return err
		}
		if err := r.CreateTask(ctx, TaskConfig{ID: id, Spec: testSpec(id, "sleep", "100")}); err != nil {
			return err
		}
		if _, err := r.StartTask(ctx, id); err != nil {
			return err
		}
		if _, err := r.DeleteTask(ctx, id); err != nil {
			return err
		}
		if err := errors.Join(r.RemoveContainer(ctx, id), r.RemoveRootfs(ctx, id)); err != nil {
			return err
		}
	}
}

// Whenever the daemon is killed, what it leaves can be found by the next one's
// lists, and removed to the last file, mount, cgroup and process.
func TestCrash(t *testing.T) {
	config := testConfig("crash")
	var last *Runtime
	defer func() {
		if last != nil && last.Close() != nil {
			t.Error("close failed")
		}
	}()
	first := startDaemon(t, config)
	dialDaemon(t, config) // makes the image
	first.kill()
	d := &daemon{config: first.config, loop: true}
	for round := range 8 {
		d.start(t)
		// Anywhere in the life of the first or second container.
		<-time.After(time.Duration(round) * 17 * time.Millisecond)
		d.kill()
		r, err := Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		last = r
		sweep(t, r)
		prefix := fmt.Sprintf("brt-%d-", d.cmd.Process.Pid)
		settled(t, func() []string { return traces(t, r, prefix) })
		last = nil
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// settled waits until nothing is left: a shim ends after its task is deleted.
func settled(t *testing.T, traces func() []string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	await(t, func() bool {
		left := traces()
		if len(left) > 0 && time.Now().After(deadline) {
			t.Fatalf("left behind: %q", left)
		}
		return len(left) == 0
	})
}

// sweep removes all that the lists have, as the engine does at boot.
func sweep(t *testing.T, r *Runtime) {
	t.Helper()
	ctx := t.Context()
	tasks, err := r.Tasks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if _, err := r.DeleteTask(ctx, task.ID); ignore(err, errdefs.IsNotFound) != nil {
			t.Errorf("task %+v: %v", task, err)
		}
	}
	for _, kind := range []struct {
		list   func(context.Context) ([]string, error)
		remove func(context.Context, string) error
	}{{r.Containers, r.RemoveContainer}, {r.Rootfs, r.RemoveRootfs}} {
		ids, err := kind.list(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if err := kind.remove(ctx, id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

// traces lists what is left of containers whose IDs begin with prefix.
func traces(t *testing.T, r *Runtime, prefix string) (left []string) {
	t.Helper()
	for _, pattern := range []string{
		filepath.Join(bundleDir(r.config), prefix+"*"),
		filepath.Join(r.config.State, "oci", "*", prefix+"*"),
		filepath.Join(r.config.State, "exits", prefix+"*"),
		filepath.Join(r.config.Root, "io.containerd.runtime.v2.task", "*", prefix+"*"),
		"/sys/fs/cgroup/" + prefix + "*",
		"/sys/fs/cgroup/*/" + prefix + "*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(procs, "/proc/self/mountinfo") {
		if content, err := os.ReadFile(p); err == nil && strings.Contains(string(content), prefix) {
			left = append(left, p)
		}
	}
	return left
}
