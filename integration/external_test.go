package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestExternalContainerd runs a daemon on the containerd of another one, in a
// namespace of its own: each may die without the other's containers noticing.
func TestExternalContainerd(t *testing.T) {
	t.Parallel()
	host := start(t, harness.Options{}) // the containerd's process
	d := start(t, harness.Options{Containerd: host.Containerd(), Namespace: "guest"})
	if got := d.Berth("run", "--rm", image, "echo", "hello").OK(t); got != "hello" {
		t.Fatalf("run gave %q", got)
	}
	const last = 200000
	d.Berth("run", "-d", "--name", "counter", "--log-opt", "max-size=1g", image, "seq", "1", strconv.Itoa(last)).OK(t)
	d.Berth("run", "-d", "--name", "always", "--restart", "always", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "plain", "-p", "127.0.0.1::80", image, "sleep", "1000").OK(t)
	host.Berth("run", "-d", "--name", "plain", image, "sleep", "1000").OK(t)
	pid := func(name string) string { return d.Berth("inspect", "-f", "{{.State.Pid}}", name).OK(t) }
	plain := pid("plain")

	// The daemon dies and comes back; then its containerd does.
	d.Kill()
	d.Run()
	d.Berth("ps").OK(t) // answered when it is ready
	host.Kill()
	if got := d.Berth("ps", "-q", "--filter", "name=plain").OK(t); got == "" {
		t.Error("ps without a containerd does not list what runs")
	}
	kill(t, pid("always")) // seen when the events are back
	host.Run()
	awaitRestarts(t, d, "always", "1")
	if got := pid("plain"); got != plain {
		t.Errorf("process %s, was %s", got, plain)
	}
	if got := d.Berth("exec", "plain", "echo", "alive").OK(t); got != "alive" {
		t.Errorf("exec gave %q", got)
	}
	// An exit after the gap is an exit as before it.
	killTask(t, d, "always")
	awaitRestarts(t, d, "always", "2")
	if got := d.Berth("wait", "counter").OK(t); got != "0" {
		t.Errorf("counter ended with %s", got)
	}
	if lines := strings.Fields(d.Berth("logs", "counter").OK(t)); len(lines) != last || lines[last-1] != strconv.Itoa(last) {
		t.Errorf("the log has %d lines, want %d", len(lines), last)
	}
	if got := d.Berth("run", "--rm", image, "echo", "again").OK(t); got != "again" {
		t.Errorf("run gave %q", got)
	}
	if got := host.Berth("ps", "--format", "{{.Names}} {{.State}}").OK(t); got != "plain running" {
		t.Errorf("the other daemon has %q", got)
	}
	d.Berth("rm", "-f", "always", "plain", "counter").OK(t)
	await(t, "nothing is left in containerd", func() bool {
		for _, l := range d.Leftovers() {
			if strings.HasPrefix(l, "containerd ") || strings.HasPrefix(l, "mount ") {
				return false
			}
		}
		return true
	})
	host.Berth("exec", "plain", "true").OK(t)
}

// TestNoContainerd starts on a containerd that is not there: the daemon waits for
// it, and ends at once when it is told to.
func TestNoContainerd(t *testing.T) {
	t.Parallel()
	host := harness.Start(t, harness.Options{})
	socket := filepath.Join(host.Root, "late.sock")
	begin := func() (*exec.Cmd, *harness.Buffer) {
		cmd := exec.Command(filepath.Join(harness.Bin(), "berthd"), "--data-root", host.Root+"/2", "--exec-root", host.Root+"/e2", "-H", "unix://"+host.Root+"/2.sock",
			"--bridge", "none", "--containerd", socket, "--containerd-namespace", "late")
		out := &harness.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "it waits", func() bool { return strings.Contains(out.String(), "waiting for containerd") })
		return cmd, out
	}
	end := func(cmd *exec.Cmd) error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		return cmd.Wait()
	}
	cmd, out := begin()
	if err := end(cmd); err == nil || !strings.Contains(out.String(), "containerd does not listen at "+socket) {
		t.Errorf("%v: %s", err, out)
	}
	cmd, out = begin()
	if err := os.Symlink(host.Containerd(), socket); err != nil {
		t.Fatal(err)
	}
	await(t, "it is ready", func() bool { return strings.Contains(out.String(), "berthd is ready") })
	if err := end(cmd); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
