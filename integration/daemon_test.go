package integration

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestContainersWithoutDaemon ends the daemon in good order: what runs goes on,
// is reached by its port, and writes its log.
func TestContainersWithoutDaemon(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	serving(t, d, "web", "-p", "127.0.0.1::7")
	d.Berth("run", "-d", "--name", "ticker", image, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done").OK(t)
	d.Berth("create", "--name", "made", image).OK(t)
	port := d.Berth("port", "web", "7/tcp").OK(t)
	d.Terminate()
	sees(t, "tcp", port, "")
	before := logged(t, d)
	await(t, "the log grows", func() bool { return logged(t, d) > before })
	d.Run()
	if got := d.Berth("ps", "-a", "--format", "{{.Names}} {{.State}}").OK(t); got != "made created\nticker running\nweb running" {
		t.Errorf("containers:\n%s", got)
	}
	sees(t, "tcp", port, "")
	d.Berth("stop", "-t", "0", "ticker", "web").OK(t)
	for i, line := range strings.Fields(d.Berth("logs", "ticker").OK(t)) {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d of the log is %q", i+1, line)
		}
	}
}

// TestListeners reaches one daemon by several addresses, one of them handed over
// as a service manager does.
func TestListeners(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp := l.Addr().String()
	l.Close()
	handed, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(d.Root, "handed.sock")})
	if err != nil {
		t.Fatal(err)
	}
	file, err := handed.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	root := filepath.Join(d.Root, "second")
	pidfile := filepath.Join(d.Root, "second.pid")
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh", filepath.Join(harness.Bin(), "berthd"),
		"-H", "fd://", "-H", "tcp://"+tcp, "--tls=false", "-H", "unix://"+filepath.Join(d.Root, "second.sock"),
		"--data-root", root, "--exec-root", filepath.Join(d.Root, "e2"), "--bridge", "none", "--pidfile", pidfile)
	cmd.ExtraFiles = []*os.File{file}
	out := &strings.Builder{}
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("berthd after SIGINT: %v\n%s", err, out)
		}
		if _, err := os.Stat(pidfile); err == nil {
			t.Error("the PID file is still there")
		}
	})
	for _, host := range []string{"unix://" + filepath.Join(d.Root, "handed.sock"), "unix://" + filepath.Join(d.Root, "second.sock"), "tcp://" + tcp} {
		await(t, host+" answers", func() bool {
			_, stdout, _ := berth(t, []string{"DOCKER_HOST=" + host}, "info", "-f", "{{.DockerRootDir}}")
			return strings.TrimSpace(stdout) == root
		})
	}
	if b, err := os.ReadFile(pidfile); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(cmd.Process.Pid) {
		t.Errorf("the PID file has %q (%v), want %d", b, err, cmd.Process.Pid)
	}
}

// TestRuntimes runs containers by an OCI runtime that was added.
func TestRuntimes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// A runtime that leaves a trace of itself.
	traced := filepath.Join(dir, "traced")
	script := "#!/bin/sh\necho \"$*\" >>" + dir + "/calls\nexec " + harness.Bin() + "/runc \"$@\"\n"
	if err := os.WriteFile(traced, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	d := start(t, harness.Options{Flags: []string{"--add-runtime", "traced=" + traced}})
	if got := d.Berth("run", "--rm", image, "echo", "plain").OK(t); got != "plain" {
		t.Errorf("run gave %q", got)
	}
	if _, err := os.Stat(dir + "/calls"); err == nil {
		t.Error("the default runtime is the one that was added")
	}
	if got := d.Berth("run", "--rm", "--runtime", "traced", image, "echo", "traced").OK(t); got != "traced" {
		t.Errorf("run gave %q", got)
	}
	if b, err := os.ReadFile(dir + "/calls"); err != nil || !strings.Contains(string(b), "create") {
		t.Errorf("the runtime was called with %q, %v", b, err)
	}
	if code, out := berthd(t, "--add-runtime", "broken="+dir+"/nothing", "--validate"); code == 0 || !strings.Contains(out, dir+"/nothing") {
		t.Errorf("a runtime that is not there: code %d: %s", code, out)
	}
	d.Berth("run", "--rm", "--runtime", "unknown", image, "true").Fails(t, 125, "unknown or invalid runtime name: unknown")
	awaitClean(t, d)
}

// TestRuntimeGone removes the OCI runtime's program, and then the containers that it runs:
// nothing of them stays behind.
func TestRuntimeGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	install := func() {
		t.Helper()
		if err := os.WriteFile(gone, []byte("#!/bin/sh\nexec "+harness.Bin()+"/runc \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install()
	d := start(t, harness.Options{Flags: []string{"--add-runtime", "gone=" + gone}})
	run := func(name string, args ...string) {
		t.Helper()
		install()
		args = append([]string{"run", "-d", "--name", name, "--runtime", "gone"}, args...)
		d.Berth(append(args, image, "sh", "-c", "echo begun; sleep 100000 & trap 'exit 7' TERM; wait")...).OK(t)
		await(t, "begun", func() bool { return d.Berth("logs", name).OK(t) == "begun" })
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
	}
	var groups []string
	remove := func(name string) {
		t.Helper()
		id := d.Berth("inspect", "-f", "{{.Id}}", name).OK(t)
		found, err := filepath.Glob("/sys/fs/cgroup/*/*/" + id)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, found...)
		d.Berth("rm", "-f", name).OK(t)
	}
	for _, c := range []struct {
		name string
		args []string
		end  func()
	}{
		{"running", []string{"-p", "127.0.0.1::80"}, func() {}},
		{"hostpid", []string{"--pid", "host"}, func() {}},
		{"privileged", []string{"--privileged", "--network", "none"}, func() {}},
		{"tty", []string{"-t"}, func() {}},
		{"init", []string{"--init"}, func() {}},
		{"stopped", nil, func() {
			d.Berth("stop", "stopped").OK(t)
			if got := d.Berth("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "stopped").OK(t); got != "exited 7" {
				t.Errorf("stopped: %s", got)
			}
		}},
		{"killed", nil, func() { d.Berth("kill", "killed").OK(t) }},
		{"daemon", nil, func() {
			d.Kill()
			install() // which berthd asks for
			d.Run()
			if err := os.Remove(gone); err != nil {
				t.Fatal(err)
			}
		}},
		{"shim", nil, func() {
			pid := shimOf(t, d, "shim")
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			d.Berth("wait", "shim").OK(t)
		}},
	} {
		run(c.name, c.args...)
		c.end()
		remove(c.name)
	}
	for name, end := range map[string]func(){
		"paused": func() {},
		"pausedstopped": func() {
			d.Berth("stop", "pausedstopped").OK(t)
			if got := d.Berth("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "pausedstopped").OK(t); got != "exited 7" {
				t.Errorf("stopped while paused: %s", got)
			}
		},
	} {
		run(name)
		install()
		d.Berth("pause", name).OK(t)
		if err := os.Remove(gone); err != nil {
			t.Fatal(err)
		}
		end()
		remove(name)
	}
	awaitClean(t, d)
	for _, group := range groups { // no process, then, either
		if _, err := os.Stat(group); err == nil {
			t.Errorf("left: %s", group)
		}
	}
	install()
	if got := d.Berth("run", "--rm", "--runtime", "gone", image, "echo", "again").OK(t); got != "again" {
		t.Errorf("the runtime is back, and run gave %q", got)
	}
	awaitClean(t, d)
}

// TestNoBridge has a daemon without a default network.
func TestNoBridge(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{Flags: []string{"--bridge", "none", "--bip", ""}})
	d.Berth("load", "-q", "-i", sample).OK(t)
	if got := d.Berth("network", "ls", "--format", "{{.Name}}").OK(t); got != "host\nnone" {
		t.Errorf("networks %q", got)
	}
	d.Berth("run", "--rm", image, "true").Fails(t, 125, "network bridge not found")
	if got := d.Berth("run", "--rm", "--network", "none", image, "ls", "/sys/class/net").OK(t); got != "lo" {
		t.Errorf("links %q", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	if out, _ := exec.CommandContext(ctx, "nft", "list", "tables").Output(); strings.Contains(string(out), d.Bridge) {
		t.Errorf("a firewall table without a bridge:\n%s", out)
	}
}

// logged counts the lines of the longest log, read without the daemon.
func logged(t *testing.T, d *harness.Daemon) (n int) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(d.Data(), "containers", "*", "*-json.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		b, err := os.ReadFile(l)
		if err != nil {
			t.Fatal(err)
		}
		n = max(n, strings.Count(string(b), "\n"))
	}
	return n
}
