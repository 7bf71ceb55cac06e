package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/pkg/shim/launch"
)

// A container outlives the process that embeds containerd, and the next one
// takes it over.
func TestAdopt(t *testing.T) {
	for name, end := range map[string]func(d *daemon, t *testing.T){
		"killed": func(d *daemon, _ *testing.T) { d.kill() },
		"closed": (*daemon).stop,
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig("adopt-" + name)
			d := startDaemon(t, config)
			r := dialDaemon(t, config)
			b := newBox(t, r)
			pid := b.trap(4)
			if err := r.Exec(t.Context(), b.id, "side", testProcess("sleep", "100"), IO{}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.StartExec(t.Context(), b.id, "side"); err != nil {
				t.Fatal(err)
			}
			end(d, t)
			if err := syscall.Kill(pid, 0); err != nil {
				t.Fatal(err)
			}
			d.start(t)
			if got := b.task(); got.Status != Running || got.Pid != pid {
				t.Fatalf("after the restart: %+v", got)
			}
			events := r.Events(t.Context())
			b.expect(events, KindResync, "")
			if x, err := r.DeleteExec(t.Context(), b.id, "side"); err != nil || x.Code != killed {
				t.Errorf("the exec: %+v, %v", x, err)
			}
			if err := r.KillTask(t.Context(), b.id, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if e := b.expect(events, KindExit, ""); e.Exit.Code != 4 {
				t.Errorf("event %+v", e)
			}
			if x, err := r.DeleteTask(t.Context(), b.id); err != nil || x.Code != 4 {
				t.Errorf("delete: %+v, %v", x, err)
			}
		})
	}
}

// A container that ends while nobody looks has its exit code all the same,
// until it has been handed out.
func TestExitWhileDown(t *testing.T) {
	config := testConfig("down")
	d := startDaemon(t, config)
	var r *Runtime // the last one; closed after the container is removed
	t.Cleanup(func() {
		if r != nil && r.Close() != nil {
			t.Error("close failed")
		}
	})
	b := newBox(t, dialDaemon(t, config))
	pid := b.trap(6)
	d.kill()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		_, err := os.Stat(bundle(b.r.config, b.id, "exit.json"))
		return err == nil
	})
	for range 2 { // the one who finds it may die as well
		d.start(t)
		d.kill()
	}
	var err error
	if r, err = Open(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	b.r = r
	if got := b.task(); got.Status != Stopped || got.Exit.Code != 6 || got.Exit.At.IsZero() {
		t.Errorf("the task is %+v", got)
	}
	if x, err := r.DeleteTask(t.Context(), b.id); err != nil || x.Code != 6 {
		t.Errorf("delete: %+v, %v", x, err)
	}
	if _, err := r.DeleteTask(t.Context(), b.id); !errdefs.IsNotFound(err) {
		t.Errorf("a second delete: %v", err)
	}
	b.gone()
}

// A task's folder that containerd died while deleting does not keep the container's
// next folders from being deleted, and its next tasks from being made.
func TestBrokenDeletion(t *testing.T) {
	config := testConfig("broken")
	d := startDaemon(t, config)
	b := newBox(t, dialDaemon(t, config))
	b.run("sleep", "100")
	d.kill()
	for _, dir := range []string{bundleDir(config), workDir(config)} {
		if err := os.MkdirAll(filepath.Join(dir, "."+b.id, "left"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.start(t)
	for range 2 {
		if _, err := b.r.DeleteTask(t.Context(), b.id); err != nil {
			t.Fatal(err)
		}
		b.run("sleep", "100")
	}
	b.remove()
	for _, dir := range []string{bundleDir(config), workDir(config)} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
}

// What a daemon leaves when it dies right after a shim has come up ends with
// the next start; another engine's shims are not touched.
func TestOrphans(t *testing.T) {
	config := testConfig("orphans")
	socket := filepath.Join(config.State, socketName)
	other := startShim(t, config, "-namespace", config.Namespace, "-id", "x", "-address", socket+".other")
	orphan := startShim(t, config, "-namespace", config.Namespace, "-id", "x", "-address", socket)
	startDaemon(t, config)
	err := orphan.Wait()
	if status, ok := orphan.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("the orphan: %v", err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other one: %v", err)
	}
}

// A containerd that comes back has lost the shims that it was starting; what is being
// created when that is found out is left alone.
func TestEndLost(t *testing.T) {
	config := testConfig("lost")
	d := startDaemon(t, config)
	r := dialDaemon(t, config)
	b := newBox(t, r)
	b.run("sleep", "100")
	address := r.config.Address
	lost := startShim(t, config, "-namespace", config.Namespace, "-id", "lost", "-address", address)
	coming := startShim(t, config, "-namespace", config.Namespace, "-id", "coming", "-address", address)
	defer r.creating.begin("coming")()
	events := r.Events(t.Context())
	b.expect(events, KindResync, "")
	d.kill()
	d.start(t)
	b.expect(events, KindResync, "")
	err := lost.Wait()
	if status, ok := lost.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("the lost one: %v", err)
	}
	if err := coming.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the coming one: %v", err)
	}
	if b.task().Status != Running {
		t.Errorf("%+v", b.task())
	}
}

// startShim runs what looks like a shim and is none.
func startShim(t *testing.T, config Config, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Args = append([]string{config.Shim}, args...)
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func TestParseShim(t *testing.T) {
	for line, want := range map[string]string{
		"/x/shim -namespace ns -id a -address /s":                   "a",
		"/y/shim -namespace ns -id a -address /s -debug":            "a",
		"/x/shim -namespace ns -id a -address /s start":             "",
		"/x/shim -namespace no -id a -address /s":                   "",
		"/x/shim -namespace ns -id a -address /other":               "",
		"/x/shim -namespace ns -address /s -id":                     "",
		"/x/shim -namespace ns -address /s":                         "",
		"/x/other -namespace ns -id a -address /s":                  "",
		"/x/" + launch.Program + " -namespace ns -id a -address /s": "a",
		"": "",
	} {
		if id, ok := parseShim(strings.Split(line, " "), "shim", "ns", "/s"); ok != (want != "") || ok && id != want {
			t.Errorf("%q: %q, %v", line, id, ok)
		}
	}
}

func TestSockets(t *testing.T) {
	for _, name := range []string{socketName, socketName + ".ttrpc"} {
		st, err := os.Stat(filepath.Join(bench.rt.config.State, name))
		if err != nil || st.Mode() != os.ModeSocket|0o660 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

// The events of another containerd go on after it was gone, with a resync.
func TestReconnect(t *testing.T) {
	config := testConfig("reconnect")
	d := startDaemon(t, config)
	r := dialDaemon(t, config)
	b := newBox(t, r)
	events := r.Events(t.Context())
	b.expect(events, KindResync, "")
	b.run("sleep", "100")
	d.kill()
	d.start(t)
	b.expect(events, KindResync, "")
	if err := r.KillTask(t.Context(), b.id, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := b.expect(events, KindExit, ""); e.Exit.Code != killed {
		t.Errorf("event %+v", e)
	}
}

// dialDaemon opens the containerd of another process by its socket.
func dialDaemon(t *testing.T, c Config) *Runtime {
	t.Helper()
	c.Address = c.State + "/" + socketName
	r, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := makeBase(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}
