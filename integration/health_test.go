package integration

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	ctypes "github.com/moby/moby/api/types/container"
)

func healthOf(t *testing.T, d *harness.Daemon, name string) (h ctypes.Health) {
	t.Helper()
	if err := json.Unmarshal([]byte(d.Berth("inspect", "-f", "{{json .State.Health}}", name).OK(t)), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func awaitHealth(t *testing.T, d *harness.Daemon, name string, status ctypes.HealthStatus) {
	t.Helper()
	await(t, name+" is "+string(status), func() bool { return healthOf(t, d, name).Status == status })
}

// TestHealth follows a container through all that its health can be, with the
// daemon's death in the middle.
func TestHealth(t *testing.T) {
	t.Parallel()
	eachClient(t, func(t *testing.T, d *harness.Daemon, run runner) {
		run("run", "-d", "--name", "box", "--health-cmd", "test -f /ok && echo fine", "--health-interval", "200ms", "--health-retries", "2",
			"--health-start-period", "1h", "--health-start-interval", "100ms", image, "sleep", "1000").OK(t)
		if got := run("ps", "--filter", "health=starting", "--format", "{{.Names}} {{.Status}}").OK(t); !strings.HasSuffix(got, "(health: starting)") {
			t.Errorf("ps: %q", got)
		}
		await(t, "failures that do not count", func() bool { return len(healthOf(t, d, "box").Log) == 5 })
		if h := healthOf(t, d, "box"); h.Status != ctypes.Starting || h.FailingStreak != 0 || h.Log[0].ExitCode != 1 {
			t.Errorf("within the start period: %+v", h)
		}
		run("exec", "box", "touch", "/ok").OK(t)
		awaitHealth(t, d, "box", ctypes.Healthy)
		if h := healthOf(t, d, "box"); h.Log[len(h.Log)-1].Output != "fine\n" {
			t.Errorf("output: %+v", h.Log[len(h.Log)-1])
		}
		if got := run("ps", "--filter", "health=healthy", "--format", "{{.Status}}").OK(t); !strings.HasSuffix(got, "(healthy)") {
			t.Errorf("ps: %q", got)
		}
		d.Kill()
		d.Run()
		if h := healthOf(t, d, "box"); h.Status != ctypes.Healthy {
			t.Errorf("after the daemon's death: %+v", h)
		}
		run("exec", "box", "rm", "/ok").OK(t)
		awaitHealth(t, d, "box", ctypes.Unhealthy)
		run("exec", "box", "touch", "/ok").OK(t)
		awaitHealth(t, d, "box", ctypes.Healthy)
		run("pause", "box").OK(t)
		if h := healthOf(t, d, "box"); h.Status != ctypes.Unhealthy {
			t.Errorf("paused: %+v", h)
		}
		run("unpause", "box").OK(t)
		awaitHealth(t, d, "box", ctypes.Healthy)
		run("restart", "-t", "0", "box").OK(t)
		if h := healthOf(t, d, "box"); h.Status == ctypes.Unhealthy || len(h.Log) == 0 {
			t.Errorf("restarted: %+v", h)
		}
		awaitHealth(t, d, "box", ctypes.Healthy)
		run("stop", "-t", "0", "box").OK(t)
		if h := healthOf(t, d, "box"); h.Status != ctypes.Unhealthy {
			t.Errorf("stopped: %+v", h)
		}
		run("create", "--name", "none", "--health-cmd", "true", "--no-healthcheck", image).Fails(t, 125, "--no-healthcheck conflicts with --health-* options")
		run("ps", "--filter", "health=ill").Fails(t, 1, "invalid value for health (ill): must be one of none, starting, healthy, unhealthy")
	})
}

// TestHealthTimeout: a probe that takes too long is killed, and the daemon's death
// does not save it.
func TestHealthTimeout(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "slow", "--health-cmd", "echo working; sleep 1001 & sleep 1002", "--health-interval", "100ms",
		"--health-timeout", "500ms", "--health-retries", "1", image, "sleep", "1000").OK(t)
	awaitHealth(t, d, "slow", ctypes.Unhealthy)
	if r := healthOf(t, d, "slow").Log[0]; r.ExitCode != -1 || r.Output != "Health check exceeded timeout (500ms): working\n" {
		t.Errorf("%+v", r)
	}
	d.Berth("run", "-d", "--name", "once", "--health-cmd", "echo x >>/probes; sleep 1003", "--health-interval", "1h", "--health-start-period", "1s",
		"--health-start-interval", "100ms", "--health-timeout", "2s", image, "sleep", "1000").OK(t)
	await(t, "the probe runs", func() bool { return strings.Contains(d.Berth("top", "once").OK(t), "sleep 1003") })
	d.Kill()
	d.Run()
	await(t, "it was killed", func() bool { return !strings.Contains(d.Berth("top", "once").OK(t), "sleep 1003") })
}

// TestHealthEvents: Docker's events, and their filter.
func TestHealthEvents(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "box", "--health-cmd", "true", "--health-interval", "100ms", image, "sleep", "1000").OK(t)
	awaitHealth(t, d, "box", ctypes.Healthy)
	d.Berth("rm", "-f", "box").OK(t)
	now := time.Now().Format(time.RFC3339Nano) // of a duration clients send whole seconds
	got := d.Berth("events", "--since", "1h", "--until", now, "--format", "{{.Action}}", "--filter", "event=health_status").OK(t)
	if got != "health_status: healthy" {
		t.Errorf("events: %q", got)
	}
	all := d.Berth("events", "--since", "1h", "--until", now, "--format", "{{.Action}}", "--filter", "container=box").OK(t)
	if want := "start\nexec_create: /bin/sh -c true\nexec_start: /bin/sh -c true\nexec_die\nhealth_status: healthy\n"; !strings.Contains(all, want) {
		t.Errorf("events: %q", all)
	}
}

// TestRestartOnUnhealthy: by a label of ours, whatever the policy, and not against
// a user's stop.
func TestRestartOnUnhealthy(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	args := []string{"--health-cmd", "test ! -f /ill", "--health-interval", "100ms", "--health-retries", "2", image, "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"}
	d.Berth(append([]string{"run", "-d", "--name", "asks", "--label", "engine.berth.restart-on-unhealthy=true"}, args...)...).OK(t)
	d.Berth(append([]string{"run", "-d", "--name", "does-not"}, args...)...).OK(t)
	for _, name := range []string{"asks", "does-not"} {
		d.Berth("exec", name, "touch", "/ill").OK(t)
	}
	await(t, "restarts", func() bool { return d.Berth("inspect", "-f", "{{.RestartCount}}", "asks").OK(t) >= "2" })
	awaitHealth(t, d, "does-not", ctypes.Unhealthy)
	if got := d.Berth("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "does-not").OK(t); got != "0 running" {
		t.Errorf("without the label: %q", got)
	}
	d.Berth("stop", "asks").OK(t)
	if got := d.Berth("inspect", "-f", "{{.State.Status}}", "asks").OK(t); got != "exited" {
		t.Errorf("after a stop: %q", got)
	}
	d.Berth(append([]string{"create", "--rm", "--label", "engine.berth.restart-on-unhealthy=true"}, args...)...).Fails(t, 1, "can't create 'AutoRemove' container with the label engine.berth.restart-on-unhealthy")
}
