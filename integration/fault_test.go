package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestFaults kills berthd at each step of create, start, exit, stop and remove.
// After the next start the container is there or not, as a whole; it can be
// started and removed; and nothing is left that no container owns.
func TestFaults(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Binary: "berthd-faults"})
	const name = "victim"
	create := func() {
		d.Berth("create", "--name", name, "-p", "127.0.0.1::80", "-v", "/anonymous",
			"--mount", "type=image,source="+image+",target=/image", image, "sleep", "1000")
	}
	run := func() { create(); d.Berth("start", name) }
	for _, c := range []struct {
		point   string
		prepare func() // with a daemon that lives
		act     func() // is interrupted
	}{
		{"create.rootfs", nil, create},
		{"create.record", nil, create},
		{"start.sandbox", create, func() { d.Berth("start", name) }},
		{"start.task", create, func() { d.Berth("start", name) }},
		{"start.started", create, func() { d.Berth("start", name) }},
		{"stop.intent", run, func() { d.Berth("stop", "-t", "0", name) }},
		{"stop.signalled", run, func() { d.Berth("stop", "-t", "0", name) }},
		{"exit.recorded", run, func() { d.Berth("kill", name) }},
		{"exit.task", run, func() { d.Berth("kill", name) }},
		{"exit.released", run, func() { d.Berth("kill", name) }},
		{"remove.record", run, func() { d.Berth("rm", "-f", "-v", name) }},
		{"remove.containerd container", run, func() { d.Berth("rm", "-f", "-v", name) }},
		{"remove.root filesystem", run, func() { d.Berth("rm", "-f", "-v", name) }},
		{"remove.folder", run, func() { d.Berth("rm", "-f", "-v", name) }},
	} {
		t.Run(c.point, func(t *testing.T) {
			if c.prepare != nil {
				c.prepare()
			}
			d.Terminate()
			d.Run("BERTH_FAULT=" + c.point)
			c.act()
			d.AwaitEnd()
			d.Run()
			exists := d.Berth("ps", "-aq", "--filter", "name="+name).OK(t) != ""
			if want := c.point != "create.rootfs" && !strings.HasPrefix(c.point, "remove."); exists != want {
				t.Errorf("the container exists: %v, want %v", exists, want)
			}
			if exists {
				d.Berth("start", name).OK(t)
				awaitState(t, d, name, "running")
				if got := d.Berth("exec", name, "echo", "alive").OK(t); got != "alive" {
					t.Errorf("exec gave %q", got)
				}
				d.Berth("rm", "-f", "-v", name).OK(t)
			}
			if got := d.Berth("volume", "ls", "-q").OK(t); got != "" {
				t.Errorf("volumes are left that nobody can ask for: %s", got)
			}
			awaitClean(t, d)
		})
	}
}

// awaitClean waits for the work after the answer of a removal to be done.
func awaitClean(t *testing.T, d *harness.Daemon) {
	t.Helper()
	var left []string
	defer func() {
		if len(left) > 0 {
			t.Logf("left behind:\n%s", strings.Join(left, "\n"))
		}
	}()
	await(t, "a clean machine", func() bool {
		left = d.Leftovers()
		return len(left) == 0
	})
}

// TestFailedStarts fails in each way that a start can, and leaves nothing.
func TestFailedStarts(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "holder", "-p", "127.0.0.1:18999:80", image, "sleep", "1000").OK(t)
	d.Berth("run", "--rm", "-p", "127.0.0.1:18999:80", image, "true").Fails(t, 125, "port is already allocated")
	d.Berth("run", "--rm", "-p", "127.0.0.1::80", image, "no-such-command").Fails(t, 127, "executable file not found")
	d.Berth("run", "--rm", "-p", "127.0.0.1::80", "-w", "/etc/passwd/x", image, "true").Fails(t, 125, "not a directory")
	d.Berth("run", "--rm", "-v", "/tmp:/etc/passwd", image, "true").Fails(t, 125, "Are you trying to mount a directory onto a file (or vice-versa)?")
	d.Berth("run", "--rm", "-u", "nobody-here", image, "true").Fails(t, 125, "unable to find user nobody-here")
	if got := d.Berth("ps", "-a", "--format", "{{.Names}}").OK(t); got != "holder" {
		t.Errorf("containers that failed to start are still there: %s", got)
	}
	d.Berth("rm", "-f", "holder").OK(t)
	awaitClean(t, d)
}

// TestKilledWhileHeld kills berthd while it has a container paused for itself: the
// container runs again with the next start, unless a user had paused it.
func TestKilledWhileHeld(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Binary: "berthd-faults"})
	s := script{t, d, harness.BerthCLI()}
	s.ok("run", "-d", "--name", "box", "-v", "data:/d", image, "sh", "-c", "while :; do date >>/d/log; sleep 0.01; done")
	atWork := func(s script) {
		s.t.Helper()
		size := s.ok("exec", "box", "stat", "-c", "%s", "/d/log")
		await(s.t, "the container is at work", func() bool { return s.ok("exec", "box", "stat", "-c", "%s", "/d/log") != size })
	}
	interrupt := func(point string, act ...string) {
		d.Terminate()
		d.Run("BERTH_FAULT=" + point)
		s.do(act...)
		d.AwaitEnd()
		d.Run()
	}
	for _, act := range [][]string{{"commit", "box", "half:v1"}, {"volume", "export", "--pause", "-o", filepath.Join(t.TempDir(), "data.tar"), "data"}} {
		for _, point := range []string{"hold.recorded", "hold.paused", "hold.thawed"} {
			t.Run(act[0]+" "+point, func(t *testing.T) {
				s := script{t, d, s.client}
				interrupt(point, act...)
				awaitState(t, d, "box", "running")
				atWork(s)
				s.do("unpause", "box").Fails(t, 1, "is not paused")
				s.ok(act...) // as if nothing had been
				s.is("running", "inspect", "-f", "{{.State.Status}}", "box")
				// What comes later is a user's.
				s.ok("pause", "box")
				d.Kill()
				d.Run()
				s.is("paused", "inspect", "-f", "{{.State.Status}}", "box")
				interrupt("hold.paused", act...)
				s.is("paused", "inspect", "-f", "{{.State.Status}}", "box")
				s.ok("unpause", "box")
				atWork(s)
			})
		}
	}
	s.ok("rm", "-f", "box")
	s.ok("rmi", "half:v1")
	s.is("", "images", "-q", "--filter", "dangling=true", "--filter", "reference=half")
	s.ok("volume", "rm", "data")
	awaitClean(t, d)
}
