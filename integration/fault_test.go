package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
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

// TestKilledVolumes kills berthd at each step of what makes, fills, exchanges and removes
// a volume: it is whole, as it was, or absent, and nothing else is left.
func TestKilledVolumes(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Binary: "berthd-faults"})
	s := script{t, d, harness.BerthCLI()}
	file := filepath.Join(t.TempDir(), "new.tar")
	s.ok("run", "--rm", "-v", "made:/v", image, "sh", "-c", "echo new >/v/f; echo new >/v/g")
	s.ok("volume", "export", "-o", file, "made")
	s.ok("volume", "rm", "made")
	s.ok("run", "--name", "maker", image, "sh", "-c", "mkdir /v; echo new >/v/f; echo new >/v/g")
	s.ok("commit", "maker", "full:v1")
	s.ok("rm", "maker")
	old := func(s script) {
		s.ok("run", "--rm", "-v", "vol:/v", image, "sh", "-c", "echo old >/v/f; echo old >/v/g")
	}
	for _, c := range []struct {
		point string
		setup func(script)
		act   []string
		want  string // what the volume holds afterwards; "": there is none, "-": it is empty
	}{
		{"volume.staged", nil, []string{"volume", "create", "vol"}, ""},
		{"volume.placed", nil, []string{"volume", "create", "vol"}, "-"},
		{"volume.gone", old, []string{"volume", "rm", "vol"}, ""},
		{"copyup.copied", nil, []string{"create", "-v", "vol:/v", "full:v1"}, "-"},
		{"copyup.placed", nil, []string{"create", "-v", "vol:/v", "full:v1"}, "newnew"},
		{"volume.filled", nil, []string{"volume", "import", "-i", file, "vol"}, ""},
		{"volume.placed", nil, []string{"volume", "import", "-i", file, "vol"}, "newnew"},
		{"volume.filled", old, []string{"volume", "import", "--replace", "-i", file, "vol"}, "oldold"},
		{"volume.exchanged", old, []string{"volume", "import", "--replace", "-i", file, "vol"}, "newnew"},
	} {
		t.Run(strings.Join(c.act[:2], " ")+" "+c.point, func(t *testing.T) {
			s := script{t, d, s.client}
			if c.setup != nil {
				c.setup(s)
			}
			d.Terminate()
			d.Run("BERTH_FAULT=" + c.point)
			s.do(c.act...)
			d.AwaitEnd()
			d.Run()
			if c.want == "" {
				s.volumeNames("")
			} else {
				s.volumeNames("vol")
				s.is(strings.Trim(c.want, "-"), "run", "--rm", "-v", "vol:/v:nocopy", image, "sh", "-c", "cat /v/f /v/g 2>/dev/null | tr -d '\\n'")
			}
			s.onlyVolumes()
			s.ok("volume", "rm", "-f", "vol")
			s.volumeNames("")
			s.empty()
			awaitClean(t, d)
		})
	}
	s.ok("rmi", "full:v1")
}

// onlyVolumes: the folder of volumes has nothing half made or half removed.
func (s script) onlyVolumes() {
	s.t.Helper()
	want := strings.Fields(s.ok("volume", "ls", "-q"))
	await(s.t, "what is no volume is deleted", func() bool {
		entries, err := os.ReadDir(filepath.Join(s.d.Data(), "volumes"))
		if err != nil {
			s.t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			if e.Name() != ".subpaths" && e.Name() != ".unborn" {
				names = append(names, e.Name())
			}
		}
		return slices.Equal(names, want)
	})
}

// TestKilledWhileFed kills berthd while a client sends it an archive: what it was to
// become is not there, and what was there still is.
func TestKilledWhileFed(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	s := script{t, d, harness.BerthCLI()}
	var archive bytes.Buffer
	if err := writeTree(&archive, 4000); err != nil {
		t.Fatal(err)
	}
	s.ok("create", "--name", "box", "-v", "inbox:/v", image, "cat", "/etc/hostname")
	s.ok("run", "--rm", "-v", "old:/v", image, "sh", "-c", "echo old >/v/f")
	images := s.ok("images", "-qa")
	for _, args := range [][]string{
		{"volume", "import", "new"}, {"volume", "import", "--replace", "old"}, {"import", "-", "half:v1"}, {"load"}, {"cp", "-", "box:/v"}, {"cp", "-", "box:/"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			s := script{t, d, s.client}
			cmd := d.Command(t.Context(), s.client, args...)
			in, err := cmd.StdinPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			// The half of it is more than pipes and sockets hold: berthd has begun.
			if _, err := in.Write(archive.Bytes()[:archive.Len()/2]); err != nil {
				t.Fatal(err)
			}
			d.Kill()
			if args[0] != "cp" && args[0] != "volume" { // docker/cli's own commands wait for more
				_ = in.Close()
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the client says that all is well")
			}
			_ = in.Close()
			d.Run()
			s.volumeNames("inbox old")
			s.onlyVolumes()
			s.is("old", "run", "--rm", "-v", "old:/v", image, "cat", "/v/f")
			s.is(images, "images", "-qa")
			if got := s.ok("start", "-a", "box"); got != s.ok("inspect", "-f", "{{.Config.Hostname}}", "box") {
				t.Errorf("the container prints %q", got)
			}
		})
	}
	s.ok("rm", "box")
	s.ok("volume", "rm", "inbox", "old")
	awaitClean(t, d)
}
