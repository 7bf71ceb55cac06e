package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Dockerd is Debian's dockerd, for tests of what two engines on one host make
// of each other.
type Dockerd struct {
	t      *testing.T
	host   *OtherHost
	root   string
	parent string // of the containers' control groups
	cmd    *exec.Cmd
	exited chan struct{}
}

// StartDockerd runs one in the network of host until the end of the test.
func StartDockerd(t *testing.T, host *OtherHost) *Dockerd {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "bd")
	if err != nil {
		t.Fatal(err)
	}
	d := &Dockerd{t: t, host: host, root: root, parent: filepath.Base(root)}
	if err := os.WriteFile(filepath.Join(root, "daemon.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cleanup)
	d.Start()
	return d
}

// Start runs the process and returns when it answers.
func (d *Dockerd) Start() {
	d.t.Helper()
	log, err := os.OpenFile(filepath.Join(d.root, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command("/usr/sbin/dockerd", "--config-file", d.path("daemon.json"), "--data-root", d.path("data"), "--exec-root", d.path("run"),
		"--pidfile", d.path("pid"), "--cgroup-parent", "/"+d.parent, "--live-restore", "-H", "unix://"+d.path("docker.sock"))
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.host.start(d.cmd); err != nil {
		d.t.Fatalf("dockerd (hack/deps test): %v", err)
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
	deadline := time.Now().Add(Patience)
	for {
		if err := d.command("version").Run(); err == nil {
			return
		}
		select {
		case <-d.exited:
			d.t.Fatalf("dockerd ended:\n%s", d.log())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("dockerd does not answer:\n%s", d.log())
		}
	}
}

// Stop ends the process; its containers go on.
func (d *Dockerd) Stop() {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(Patience):
		d.t.Fatalf("dockerd did not end:\n%s", d.log())
	}
}

// Docker runs docker's client and returns what it prints.
func (d *Dockerd) Docker(args ...string) string {
	d.t.Helper()
	out, err := d.command(args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (d *Dockerd) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	d.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+d.path("docker.sock"), "DOCKER_CONFIG="+d.path("cli"), "DOCKER_CLI_HINTS=false")
	return cmd
}

// Root holds everything of this daemon.
func (d *Dockerd) Root() string { return d.root }

// Socket is where its API is.
func (d *Dockerd) Socket() string { return d.path("docker.sock") }

func (d *Dockerd) path(name string) string { return filepath.Join(d.root, name) }

func (d *Dockerd) log() string {
	b, _ := os.ReadFile(d.path("log"))
	return tail(string(b), 40)
}

func (d *Dockerd) cleanup() {
	if d.t.Failed() {
		d.t.Logf("log of dockerd:\n%s", d.log())
	}
	select {
	case <-d.exited:
		d.Start()
	default:
	}
	if ids := strings.Fields(d.Docker("ps", "-aq")); len(ids) > 0 {
		d.Docker(append([]string{"rm", "-f"}, ids...)...)
	}
	d.Stop()
	for _, m := range slices.Backward(mountsBelow(d.root)) {
		if err := unix.Unmount(strings.TrimPrefix(m, "mount "), unix.MNT_DETACH); err != nil {
			d.t.Errorf("%s: %v", m, err)
		}
	}
	RemoveCgroups(d.t, d.parent)
	if err := os.RemoveAll(d.root); err != nil {
		d.t.Error(err)
	}
	if left := processesOf(d.root); len(left) > 0 {
		d.t.Error(fmt.Sprint(left))
	}
}
