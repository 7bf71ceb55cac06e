package integration

import (
	"context"
	"strconv"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// TestRestartPolicies ends containers in each way and looks what comes back.
func TestRestartPolicies(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "always", "--restart", "always", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "unless", "--restart", "unless-stopped", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "never", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "failing", "--restart", "on-failure:2", image, "sh", "-c", "exit 4").OK(t)

	d.Berth("wait", "failing")
	awaitState(t, d, "failing", "exited")
	if got := d.Berth("inspect", "-f", "{{.RestartCount}} {{.State.ExitCode}}", "failing").OK(t); got != "2 4" {
		t.Fatalf("on-failure:2 ended with %q", got)
	}
	// What another containerd client does is an exit like any other.
	for _, name := range []string{"always", "unless", "never"} {
		killTask(t, d, name)
	}
	awaitRestarts(t, d, "always", "1")
	awaitRestarts(t, d, "unless", "1")
	awaitState(t, d, "never", "exited")

	// A stop by hand is respected, also across the daemon's death; "always"
	// comes back with the daemon.
	d.Berth("stop", "-t", "0", "always", "unless").OK(t)
	d.Kill()
	d.Run()
	awaitState(t, d, "always", "running")
	for _, name := range []string{"unless", "never", "failing"} {
		awaitState(t, d, name, "exited")
	}
	// An exit that happens while nobody watches is answered at the next start.
	pid := d.Berth("inspect", "-f", "{{.State.Pid}}", "always").OK(t)
	d.Kill()
	kill(t, pid)
	d.Run()
	awaitState(t, d, "always", "running")
}

func awaitRestarts(t *testing.T, d *harness.Daemon, name, count string) {
	t.Helper()
	await(t, name+" restarted", func() bool {
		return d.Berth("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", name).OK(t) == count+" running"
	})
}

// kill ends a process that a container was seen to have.
func kill(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 1 {
		t.Fatalf("process %q", pid)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// killTask kills a container's process behind berthd's back, as ctr task kill
// does.
func killTask(t *testing.T, d *harness.Daemon, name string) {
	t.Helper()
	c, err := client.New(d.Containerd())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := namespaces.WithNamespace(context.Background(), d.Namespace())
	container, err := c.LoadContainer(ctx, d.Berth("inspect", "-f", "{{.Id}}", name).OK(t))
	if err != nil {
		t.Fatal(err)
	}
	task, err := container.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Kill(ctx, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestLeftTask has a container's task in containerd while the container is at rest, as
// when containerd dies in the middle of a start or an exit: it starts all the same.
func TestLeftTask(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "--name", "box", "--network", "host", "--ipc", "host", image, "echo", "once").OK(t)
	c, err := client.New(d.Containerd())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := namespaces.WithNamespace(t.Context(), d.Namespace())
	container, err := c.LoadContainer(ctx, d.Berth("inspect", "-f", "{{.Id}}", "box").OK(t))
	if err != nil {
		t.Fatal(err)
	}
	// It is not started; that it is there is enough.
	if _, err := container.NewTask(ctx, cio.NullIO); err != nil {
		t.Fatal(err)
	}
	if got := d.Berth("start", "-a", "box").OK(t); got != "once" {
		t.Errorf("start gave %q", got)
	}
	d.Berth("rm", "box").OK(t)
	awaitClean(t, d)
}
