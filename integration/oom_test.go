package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// hog takes memory until somebody stops it.
const hog = "x=x; while :; do x=$x$x$x$x; done"

// tight are the options of a container in which hog does not get far.
var tight = []string{"--memory", "16m", "--memory-swap", "16m"}

// actions are what happened to a container, in its order.
func actions(t *testing.T, d *harness.Daemon, name string) []string {
	t.Helper()
	return strings.Fields(d.Berth("events", "--since", "1h", "--until", time.Now().Format(time.RFC3339Nano),
		"--filter", "type=container", "--filter", "container="+name, "--format", "{{.Action}}").OK(t))
}

// inOrder fails unless wanted are among those that happened, in that order.
func inOrder(t *testing.T, happened []string, wanted ...string) {
	t.Helper()
	rest := happened
	for _, w := range wanted {
		i := slices.Index(rest, w)
		if i < 0 {
			t.Errorf("%q does not have %q in this order", happened, wanted)
			return
		}
		rest = rest[i+1:]
	}
}

func oomState(t *testing.T, d *harness.Daemon, name string) string {
	t.Helper()
	return d.Berth("inspect", "-f", "{{.State.Status}} {{.State.OOMKilled}} {{.State.ExitCode}}", name).OK(t)
}

// TestOutOfMemory has the kernel kill for want of memory: a container is said to have
// ended by that, its event comes before its end, and one that goes on without the
// process that was killed says so as well.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	run := func(args ...string) []string { return append(append([]string{"run"}, tight...), args...) }

	t.Run("the container", func(t *testing.T) {
		d.Berth(run("--name", "hungry", image, "sh", "-c", hog)...).Fails(t, 137, "")
		if got := oomState(t, d, "hungry"); got != "exited true 137" {
			t.Errorf("the state is %q", got)
		}
		inOrder(t, actions(t, d, "hungry"), "start", "oom", "die")
		d.Berth("start", "hungry").OK(t)
		await(t, "it is killed again", func() bool { return oomState(t, d, "hungry") == "exited true 137" })
		inOrder(t, actions(t, d, "hungry"), "oom", "die", "start", "oom", "die")
	})

	t.Run("one that is removed", func(t *testing.T) {
		d.Berth(run("--rm", "--name", "brief", image, "sh", "-c", hog)...).Fails(t, 137, "")
		await(t, "it is removed", func() bool { return slices.Contains(actions(t, d, "brief"), "destroy") })
		inOrder(t, actions(t, d, "brief"), "oom", "die", "destroy")
	})

	t.Run("another process", func(t *testing.T) {
		d.Berth(run("-d", "--name", "host", image, "sleep", "100000")...).OK(t)
		d.Berth("exec", "host", "sh", "-c", hog).Fails(t, 137, "")
		await(t, "the event", func() bool { return slices.Contains(actions(t, d, "host"), "oom") })
		if got := oomState(t, d, "host"); got != "running true 0" {
			t.Errorf("the state is %q", got)
		}
		alive(t, d, "host")
		d.Berth("restart", "-t", "0", "host").OK(t)
		if got := oomState(t, d, "host"); got != "running false 0" {
			t.Errorf("the state of the next run is %q", got)
		}
	})

	t.Run("nobody", func(t *testing.T) { oomDisabled(t, d) })
}

// oomDisabled has a process wait for memory, where nobody may be killed for it, until
// an update gives it some.
func oomDisabled(t *testing.T, d *harness.Daemon) {
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.oom_control"); err != nil {
		d.Berth("create", "--oom-kill-disable", image).OK(t) // discarded, with a warning: cgroup v2 has no such thing
		return
	}
	d.Berth(append(append([]string{"run", "-d", "--name", "patient", "--oom-kill-disable"}, tight...), image,
		"sh", "-c", "x=$(head -c 1000000 /dev/zero | tr '\\0' x); x=$x$x$x$x; x=$x$x$x$x; echo ${#x}; sleep 100000")...).OK(t)
	await(t, "the event", func() bool { return slices.Contains(actions(t, d, "patient"), "oom") })
	if got := d.Berth("logs", "patient").OK(t) + oomState(t, d, "patient"); got != "running true 0" {
		t.Errorf("it did not wait: %s", got)
	}
	d.Berth("update", "--memory", "256m", "--memory-swap", "256m", "patient").OK(t)
	await(t, "it goes on", func() bool { return d.Berth("logs", "patient").OK(t) == "16000000" })
	alive(t, d, "patient")
	d.Berth("rm", "-f", "patient").OK(t)
}

// TestOutOfMemoryUnseen has a container killed while berthd is not there.
func TestOutOfMemoryUnseen(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := t.TempDir()
	d.Berth(append(append([]string{"run", "-d", "--name", "hungry", "-v", dir + ":/at"}, tight...), image,
		"sh", "-c", "until test -e /at/go; do sleep 0.02; done; "+hog)...).OK(t)
	pid := d.Berth("inspect", "-f", "{{.State.Pid}}", "hungry").OK(t)
	d.Kill()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "it is killed", func() bool {
		_, err := os.Stat("/proc/" + pid)
		return os.IsNotExist(err)
	})
	d.Run()
	if got := oomState(t, d, "hungry"); got != "exited true 137" {
		t.Errorf("the state is %q", got)
	}
	inOrder(t, actions(t, d, "hungry"), "oom", "die")
}
