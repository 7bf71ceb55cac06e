package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Fresh stands for a machine of its own: a root folder, and namespaces for mounts,
// processes and the network, so that its end ends all that it ran and mounted.
type Fresh struct {
	t    *testing.T
	Root string
	init *exec.Cmd
	exe  *exec.Cmd // berthd
	log  *Buffer
}

// NewFresh makes one of an archive of a system. It is off.
func NewFresh(t *testing.T, archive string) *Fresh {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "bm")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fresh{t: t, Root: root, log: &Buffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of berthd:\n%s", tail(f.log.String(), 60))
		}
		f.Off()
		if left := mountsBelow(root); len(left) > 0 {
			t.Errorf("left behind: %v", left)
			return
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	if out, err := exec.Command("tar", "--numeric-owner", "-xf", archive, "-C", root).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	return f
}

// boot is what the kernel and the first programs of a system do. The root is the
// namespace's, as of a real system: who enters a container would leave a mere chroot.
const boot = `set -e
mount --bind "$1" "$1"; cd "$1"
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs none run; mount -t tmpfs none tmp
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t tmpfs none dev; mkdir dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=666 none dev/pts; ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
for n in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do set -- $n; mknod -m 666 dev/$1 c $2 $3; done
ip link set lo up
mkdir run/old; pivot_root . run/old
exec /bin/sh -c 'umount -l /run/old; rmdir /run/old; echo booted; while :; do sleep 1 & wait; done'`

// On starts the machine, with nothing of Berth.
func (f *Fresh) On() {
	f.t.Helper()
	f.init = exec.Command("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "sh", "-c", boot, "sh", f.Root)
	f.init.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &Buffer{}
	f.init.Stdout, f.init.Stderr = out, out
	if err := f.init.Start(); err != nil {
		f.t.Fatal(err)
	}
	for deadline := time.Now().Add(Patience); !strings.Contains(out.String(), "booted"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("the machine does not start: %s", out)
		}
	}
}

// Off is a power failure: the kernel ends the processes of the namespace with its
// first one, and the mounts with the last.
func (f *Fresh) Off() {
	if f.init == nil {
		return
	}
	pid := f.first()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	_ = f.init.Wait()
	if f.exe != nil {
		_ = f.exe.Wait()
	}
	f.init, f.exe = nil, nil
}

// first is the machine's first process as this host sees it.
func (f *Fresh) first() int {
	pid := f.init.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if child, cerr := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && cerr == nil {
		return child
	}
	return pid
}

// Path is where this host sees a file of the machine that runs.
func (f *Fresh) Path(name string) string { return fmt.Sprintf("/proc/%d/root%s", f.first(), name) }

// Command is one on the machine.
func (f *Fresh) Command(ctx context.Context, args ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(f.first()), "--mount", "--net", "--pid", "--uts", "--ipc"}
	cmd := exec.CommandContext(ctx, "nsenter", append(append(enter, "env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"), args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Run runs a command on the machine.
func (f *Fresh) Run(args ...string) Result {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := f.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && ctx.Err() == nil:
		r.Code = exit.ExitCode()
	case err != nil:
		f.t.Fatalf("%s: %v (%v)\n%s%s", strings.Join(args, " "), err, ctx.Err(), r.Stdout, r.Stderr)
	}
	return r
}

// Serve starts the daemon as systemd does by the units: with sockets that are open
// (sd_listen_fds(3)), and waits until it says that it is ready (sd_notify(3)).
func (f *Fresh) Serve(sockets ...string) {
	f.t.Helper()
	if err := os.MkdirAll(f.Path("/run/berth"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	for _, left := range append([]string{"/run/notify"}, sockets...) { // by one that served before
		_ = os.Remove(f.Path(left))
	}
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: f.Path("/run/notify"), Net: "unixgram"})
	if err != nil {
		f.t.Fatal(err)
	}
	defer ready.Close()
	// The unit's own line; $$ is the process that becomes the daemon.
	const line = `$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/berth.service)`
	f.exe = f.Command(context.Background(), "sh", "-c", "LISTEN_PID=$$ LISTEN_FDS="+strconv.Itoa(len(sockets))+" NOTIFY_SOCKET=/run/notify exec "+line)
	f.exe.Stdout, f.exe.Stderr = f.log, f.log
	for _, s := range sockets {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.Path(s), Net: "unix"})
		if err != nil {
			f.t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		file, err := l.File()
		if err != nil {
			f.t.Fatal(err)
		}
		defer file.Close()
		defer l.Close()
		f.exe.ExtraFiles = append(f.exe.ExtraFiles, file)
	}
	if err := f.exe.Start(); err != nil {
		f.t.Fatal(err)
	}
	if err := ready.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		f.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := ready.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), "READY=1") {
		f.t.Fatalf("berthd does not say that it is ready: %q %v\n%s", b[:n], err, f.log)
	}
}

// Write puts a file onto the machine's disk.
func (f *Fresh) Write(name, content string) {
	f.t.Helper()
	path := filepath.Join(f.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}
