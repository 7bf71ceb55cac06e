package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// daemon is an engine that was started for this run.
type daemon struct {
	engine *engine
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd was waited for
	log    string
	after  func() error // removes what the engine itself leaves
}

// startBerth starts a copy of the berthd in this program's folder: another one
// that runs from there would share its code's pages, and so halve their part in
// the proportional set size.
func startBerth(ctx context.Context, dir string) (*daemon, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o711); err != nil {
		return nil, err
	}
	for _, name := range []string{"berth", "berth-all", "berthd", "containerd-shim-berth-v2", "containerd-shim-berth-task", "berth-init", "runc"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(self), name))
		if err == nil {
			err = os.WriteFile(filepath.Join(bin, name), b, 0o755)
		}
		if err != nil {
			return nil, err
		}
	}
	root := filepath.Join(dir, "berth")
	socket := filepath.Join(root, "api.sock")
	return start(ctx, root, &engine{name: "berth", cli: filepath.Join(bin, "berth"), socket: socket, data: filepath.Join(root, "data")}, nil,
		filepath.Join(bin, "berthd"), "--data-root", filepath.Join(root, "data"), "--exec-root", filepath.Join(root, "run"),
		"-H", "unix://"+socket)
}

// startDocker starts Debian's dockerd, which starts a containerd of its own.
func startDocker(ctx context.Context, dir string) (*daemon, error) {
	for _, f := range []string{"/usr/sbin/dockerd", "/usr/bin/docker"} {
		if _, err := os.Stat(f); err != nil {
			return nil, fmt.Errorf("docker.io is not installed: %w", err)
		}
	}
	root := filepath.Join(dir, "docker")
	socket := filepath.Join(root, "api.sock")
	parent := fmt.Sprintf("berthbench-%d", os.Getpid())
	after := func() error { return removeCgroups(parent) }
	return start(ctx, root, &engine{name: "docker.io", cli: "/usr/bin/docker", socket: socket, data: filepath.Join(root, "data")}, after,
		"/usr/sbin/dockerd", "--data-root", filepath.Join(root, "data"), "--exec-root", filepath.Join(root, "run"),
		"--pidfile", filepath.Join(root, "pid"), "--cgroup-parent", "/"+parent, "-H", "unix://"+socket)
}

// start runs a daemon in a network namespace of its own, so that neither
// engine's rules weigh on the other's packets and nothing of them outlives it,
// and waits until it answers.
func start(ctx context.Context, root string, e *engine, after func() error, program string, args ...string) (*daemon, error) {
	if err := os.Mkdir(root, 0o711); err != nil {
		return nil, err
	}
	if err := mountOwn(root); err != nil {
		return nil, err
	}
	// As /run is on a host: a daemon's exec root is memory there.
	run := filepath.Join(root, "run")
	if err := os.Mkdir(run, 0o711); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", run, "tmpfs", 0, "mode=711"); err != nil {
		return nil, fmt.Errorf("mount %s: %w", run, err)
	}
	settings := filepath.Join(root, "daemon.json") // the machine's own has no part in this
	if err := os.WriteFile(settings, []byte("{}"), 0o600); err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(root, "log"))
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	cmd := exec.Command(program, append([]string{"--config-file", settings}, args...)...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = apart()
	if err := inNewNetwork(cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	d := &daemon{engine: e, cmd: cmd, ended: make(chan struct{}), log: logFile.Name(), after: after}
	e.pid = cmd.Process.Pid
	go func() { _ = cmd.Wait(); close(d.ended) }()
	return d, d.ready(ctx)
}

// apart keeps a terminal's Ctrl-C from what is still needed to clean up.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// ownSize is that of a daemon's file system, in bytes; what is not written takes no room.
const ownSize = 128 << 30

// mountOwn gives a daemon a file system of its own. ext4 looks at each inode that was
// deleted within the last minutes before it takes one: on a shared one, who makes many
// files would pay for what the other engine has removed.
func mountOwn(dir string) error {
	image := dir + ".ext4"
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(ownSize), f.Close()); err != nil {
		return err
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
	}
	return os.Chmod(dir, 0o711)
}

// inNewNetwork calls f on a thread in a new network namespace with its loopback
// up. The thread ends with the goroutine; what f started stays in there.
func inNewNetwork(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		ns, err := netns.New()
		if err == nil {
			defer ns.Close()
			var lo netlink.Link
			if lo, err = netlink.LinkByName("lo"); err == nil {
				err = netlink.LinkSetUp(lo)
			}
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	return <-result
}

// ready waits until the daemon's socket answers.
func (d *daemon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := peer(d.engine.socket); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return fmt.Errorf("%s ended:\n%s", d.engine.name, d.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", d.engine.name, ctx.Err(), d.tail())
		}
	}
}

func (d *daemon) tail() string {
	b, _ := os.ReadFile(d.log)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// stop ends the daemon as its service manager would.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	var err error
	select {
	case <-d.ended:
	case <-timeout.C:
		err = fmt.Errorf("%s did not end within a minute of SIGTERM", d.engine.name)
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	if d.after != nil {
		err = errors.Join(err, d.after())
	}
	return err
}

// removeCgroups removes the group of that name from each hierarchy, with the
// empty groups below it.
func removeCgroups(name string) error {
	tops, err := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if err != nil {
		return err
	}
	var errs []error
	for _, top := range append(tops, "/sys/fs/cgroup/"+name) {
		var all []string
		_ = filepath.WalkDir(top, func(p string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				all = append(all, p)
			}
			return nil
		})
		for _, p := range slices.Backward(all) {
			errs = append(errs, os.Remove(p))
		}
	}
	return errors.Join(errs...)
}

// removeAll removes the run's folder, after what a daemon left mounted there.
func removeAll(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
		}
	}
	return os.RemoveAll(dir)
}
