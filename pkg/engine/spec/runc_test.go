package spec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/etc"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// lab runs specifications with a real runc on this kernel.
type lab struct {
	runc, state, parent string
	host                Host
}

// newLab takes bin/runc, which make check builds first.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{state: t.TempDir(), parent: fmt.Sprintf("/berth-spec-test-%d", os.Getpid())}
	var err error
	if l.host, err = DetectHost(); err != nil {
		t.Fatal(err)
	}
	if l.runc, err = filepath.Abs("../../../bin/runc"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.runc); err != nil {
		t.Fatalf("this test runs containers (make bin/runc): %v", err)
	}
	t.Cleanup(func() {
		groups, _ := filepath.Glob("/sys/fs/cgroup/*" + l.parent)
		for _, g := range append(groups, "/sys/fs/cgroup"+l.parent) {
			if err := os.Remove(g); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("left behind: %v", err)
			}
		}
	})
	return l
}

// bundle is a folder with a busybox as root file system and a container's files.
type bundle struct {
	*lab
	dir, id string
	in      Input
}

func (l *lab) bundle(t *testing.T, change func(*Input)) *bundle {
	t.Helper()
	b := &bundle{lab: l, dir: t.TempDir(), id: fmt.Sprintf("spec-%d-%s", os.Getpid(), filepath.Base(t.Name()))}
	root := filepath.Join(b.dir, "rootfs")
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatalf("the package busybox-static is needed: %v", err)
	}
	content, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"/bin/busybox": content, "/etc/passwd": []byte(testFiles["/etc/passwd"]), "/etc/group": []byte(testFiles["/etc/group"])} {
		must(t, os.MkdirAll(filepath.Dir(root+name), 0o755))
		must(t, os.WriteFile(root+name, data, 0o755))
	}
	must(t, os.Symlink("busybox", root+"/bin/sh"))
	b.in = input(t, func(in *Input) {
		in.ID, in.Dir, in.Host, in.Defaults.CgroupParent, in.NetNS = b.id, b.dir, l.host, l.parent, ""
		in.Config.Hostname = "box"
		change(in)
	})
	must(t, etc.Write(etc.Input{Dir: b.dir, Hostname: "box", ExtraHosts: []string{"db:10.9.8.7"}}))
	return b
}

// script is the shell command that the container runs: busybox's applets.
func script(lines ...string) []string {
	return []string{"/bin/sh", "-c", "exec 2>&1; " + strings.NewReplacer("@", "/bin/busybox ").Replace(strings.Join(append(lines, "exit 0"), "; "))}
}

func (b *bundle) write(t *testing.T) {
	t.Helper()
	s, err := Build(context.Background(), b.in)
	if err != nil {
		t.Fatal(err)
	}
	b.writeJSON(t, "config.json", s)
}

func (b *bundle) writeJSON(t *testing.T, name string, v any) {
	t.Helper()
	j, err := json.Marshal(v)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(b.dir, name), j, 0o600))
}

func (b *bundle) command(args ...string) *exec.Cmd {
	return exec.Command(b.runc, append([]string{"--root", b.state}, args...)...)
}

// run gives what the container wrote.
func (b *bundle) run(t *testing.T) string {
	t.Helper()
	b.write(t)
	out, err := b.command("run", "--bundle", b.dir, b.id).CombinedOutput()
	if err != nil {
		t.Fatalf("runc: %v\n%s", err, out)
	}
	return string(out)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, out string, lines ...string) {
	t.Helper()
	got := strings.Split(out, "\n")
	for _, l := range lines {
		if !slices.Contains(got, l) {
			t.Errorf("no line %q in\n%s", l, out)
		}
	}
}

// netns makes a network namespace and gives its path.
func netns(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netns")
	must(t, os.WriteFile(path, nil, 0o600))
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with us
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "", unix.MS_BIND, "")
		}
		done <- err
	}()
	must(t, <-done)
	t.Cleanup(func() { must(t, unix.Unmount(path, unix.MNT_DETACH)) })
	return path
}

func TestRunc(t *testing.T) {
	l := newLab(t)
	t.Run("default", func(t *testing.T) {
		b := l.bundle(t, func(in *Input) {
			in.NetNS = netns(t)
			in.Config.Env = []string{"GREETING=hello world"}
			in.Config.WorkingDir = "/made/by/runtime"
			in.Config.Cmd = script("@id", "@hostname", "@pwd", "echo $$ $GREETING $HOME", "@cat /etc/hosts /etc/hostname",
				"@grep -E 'Cap(Eff|Bnd)|Seccomp:|NoNew' /proc/self/status", "@wc -c </proc/kcore", "@touch /sys/x", "echo 1 >/proc/sys/vm/drop_caches",
				"@stat -c %a:%F /dev/null /dev/shm /dev/pts/ptmx", "@grep ' /dev/shm ' /proc/mounts", "@cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
				"@mknod /dev/mem2 c 1 1 && @cat /dev/mem2 && echo open")
		})
		out := b.run(t)
		expect(t, out, "uid=0(root) gid=0(root) groups=0(root),10(wheel)", "box", "/made/by/runtime", "1 hello world /root", "10.9.8.7\tdb",
			"CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "Seccomp:\t2", "NoNewPrivs:\t0", "0",
			"touch: /sys/x: Read-only file system", "666:character special file", "1777:directory",
			"cat: can't open '/dev/mem2': Operation not permitted")
		if !strings.Contains(out, "size=65536k") || !strings.Contains(out, "can't create /proc/sys/vm/drop_caches: Read-only file system") {
			t.Error(out)
		}
	})
	t.Run("restricted", func(t *testing.T) {
		yes := true
		b := l.bundle(t, func(in *Input) {
			in.Config.User = "web"
			in.Config.Domainname = "example.org"
			in.Config.Cmd = script("@id -u", "@id -G", "@hostname", "@touch /x", "@touch /scratch/x && echo scratch", "ulimit -n", "ulimit -Hn",
				"@cat /proc/self/oom_score_adj", "@grep -E 'Cap(Eff|Bnd)|NoNew' /proc/self/status", "@cat /proc/sys/kernel/msgmax", "echo HOME=$HOME",
				"@cat /proc/sys/kernel/domainname", "@dd if=/dev/nothing of=/dev/null bs=1 count=1 && echo read")
			in.HostConfig = &container.HostConfig{
				ReadonlyRootfs: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, GroupAdd: []string{"media"},
				Sysctls: map[string]string{"kernel.msgmax": "4096"}, OomScoreAdj: 700, CgroupnsMode: "private", Init: &yes,
				Resources: container.Resources{Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 99, Hard: 100}},
					Devices: []container.DeviceMapping{{PathOnHost: "/dev/zero", PathInContainer: "/dev/nothing", CgroupPermissions: "r"}}},
			}
			in.Mounts = []specs.Mount{{Destination: "/scratch", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1777"}}}
		})
		b.in.Init = filepath.Join(b.dir, "init")
		must(t, os.WriteFile(b.in.Init, []byte("#!/bin/sh\necho init $1\nshift\nexec \"$@\"\n"), 0o755))
		out := b.run(t)
		expect(t, out, "init --", "1000", "1001 2000 3000", "box", "touch: /x: Read-only file system", "scratch", "99", "100", "700",
			"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "4096", "HOME=/srv/web", "example.org", "read")
	})
	t.Run("privileged", func(t *testing.T) {
		b := l.bundle(t, func(in *Input) {
			in.HostConfig.Privileged = true
			in.Config.Cmd = script("@grep -E 'CapEff|Seccomp:' /proc/self/status", "@mkdir /m", "@mount -t tmpfs x /m && echo mounted",
				"[ -w /proc/sys/vm/swappiness ] && echo writable", "@ls /dev")
		})
		out := b.run(t)
		own, err := os.ReadFile("/proc/self/status")
		must(t, err)
		_, bounding, _ := strings.Cut(string(own), "CapBnd:\t")
		expect(t, out, "CapEff:\t"+bounding[:16], "Seccomp:\t0", "mounted", "writable", "kmsg")
	})
	t.Run("resources", func(t *testing.T) {
		files := []string{"memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us", "cpuset/cpuset.cpus", "cpu/cpu.shares"}
		want := []string{"33554432", "50", "50000", "0", "128"}
		if l.host.Cgroup2 {
			files, want = []string{"memory.max", "pids.max", "cpu.max", "cpuset.cpus"}, []string{"33554432", "50", "50000 100000", "0"}
		}
		b := l.bundle(t, func(in *Input) {
			pids := int64(50)
			in.HostConfig.Resources = container.Resources{Memory: 32 << 20, PidsLimit: &pids, NanoCPUs: 5e8, CpusetCpus: "0", CPUShares: 128}
			in.Config.Cmd = script("@cat /sys/fs/cgroup/"+strings.Join(files, " /sys/fs/cgroup/"), "@mkdir /sys/fs/cgroup/pids/x")
		})
		expect(t, b.run(t), append(want, "mkdir: can't create directory '/sys/fs/cgroup/pids/x': Read-only file system")...)
	})
	t.Run("host namespaces", func(t *testing.T) {
		b := l.bundle(t, func(in *Input) {
			in.Config.Hostname = ""
			in.HostConfig = &container.HostConfig{NetworkMode: "host", PidMode: "host", IpcMode: "host", UTSMode: "host", CgroupnsMode: "host"}
			in.Config.Cmd = script("for n in net pid ipc uts cgroup mnt; do @readlink /proc/self/ns/$n; done")
		})
		out := b.run(t)
		for _, n := range []string{"net", "pid", "ipc", "uts", "cgroup"} {
			own, err := os.Readlink("/proc/thread-self/ns/" + n) // /proc/self is the main thread, which may be elsewhere
			must(t, err)
			expect(t, out, own)
		}
		if own, _ := os.Readlink("/proc/thread-self/ns/mnt"); strings.Contains(out, own) {
			t.Error("the mount namespace is shared")
		}
	})
	t.Run("unconfined", func(t *testing.T) {
		b := l.bundle(t, func(in *Input) {
			in.HostConfig.SecurityOpt = []string{"seccomp=unconfined", "writable-cgroups=true"}
			in.HostConfig.MaskedPaths, in.HostConfig.ReadonlyPaths = []string{}, []string{} // systempaths=unconfined
			in.Config.Cmd = script("@grep Seccomp: /proc/self/status", "[ -w /proc/sys/vm/swappiness ] && echo writable", "@grep ' /sys/fs/cgroup' /proc/mounts | @grep -c '[ ,]ro,' ")
		})
		expect(t, b.run(t), "Seccomp:\t0", "writable", "0")
	})
	t.Run("exec and join", func(t *testing.T) { l.execAndJoin(t) })
}

// execAndJoin runs a container, a further process in it, and a container that
// joins its namespaces and shared memory.
func (l *lab) execAndJoin(t *testing.T) {
	b := l.bundle(t, func(in *Input) {
		in.HostConfig.IpcMode = "shareable"
		in.Config.Cmd = script("echo up >/dev/shm/mark", "echo ready", "exec /bin/busybox sleep 1000")
		in.Config.Env = []string{"A=1"}
	})
	shm, err := MountShm(b.dir, 1<<20)
	must(t, err)
	t.Cleanup(func() { must(t, UnmountShm(b.dir)); must(t, UnmountShm(b.dir)) })
	if again, err := MountShm(b.dir, 1<<20); err != nil || again != shm {
		t.Fatalf("MountShm again: %s, %v", again, err)
	}
	b.in.Shm = shm
	b.write(t)
	// Detached, runc hands our pipe on to the container.
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	cmd := b.command("run", "--detach", "--pid-file", filepath.Join(b.dir, "pid"), "--bundle", b.dir, b.id)
	cmd.Stdout, cmd.Stderr = w, w
	must(t, cmd.Run())
	t.Cleanup(func() {
		if out, err := b.command("delete", "--force", b.id).CombinedOutput(); err != nil {
			t.Errorf("runc delete: %v\n%s", err, out)
		}
	})
	must(t, w.Close())
	ready := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(r, ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("%q, %v", ready, err)
	}
	raw, err := os.ReadFile(filepath.Join(b.dir, "pid"))
	must(t, err)
	var pid int
	_, err = fmt.Sscan(string(raw), &pid)
	must(t, err)

	p, err := Process(context.Background(), b.in, &container.ExecCreateRequest{
		Cmd: script("@cat /dev/shm/mark", "echo $A $B", "@id -u", "@pwd", "@cat /proc/1/cmdline | @tr '\\0' ' '"), Env: []string{"B=2"}, User: "web", WorkingDir: "/etc",
	})
	must(t, err)
	b.writeJSON(t, "process.json", p)
	got, err := b.command("exec", "--process", filepath.Join(b.dir, "process.json"), b.id).CombinedOutput()
	if err != nil {
		t.Fatalf("runc exec: %v\n%s", err, got)
	}
	expect(t, string(got), "up", "1 2", "1000", "/etc", "/bin/busybox sleep 1000 ")

	other := l.bundle(t, func(in *Input) {
		in.ID += "-other"
		in.HostConfig = &container.HostConfig{PidMode: "container:first", IpcMode: "container:first"}
		in.Namespaces = func(string) (int, error) { return pid, nil }
		in.Shm = shm
		in.Config.Cmd = script("@cat /dev/shm/mark /proc/1/cmdline | @tr '\\0' ' '")
	})
	other.id += "-other"
	expect(t, other.run(t), "up", "/bin/busybox sleep 1000 ")
}
