package spec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden files")

// testHost is a host that can do everything, so that results do not depend on
// the machine.
func testHost() Host {
	return Host{
		CgroupNamespaces: true, MemoryLimit: true, MemoryReservation: true, SwapLimit: true, Swappiness: true,
		OomKillDisable: true, CPUShares: true, CPUCfs: true, CPURealtime: true, Cpuset: true, PidsLimit: true,
		BlkioWeight: true, BlkioWeightDevice: true, BlkioThrottle: true, CPUs: 4, CPUSet: "0-3", MemorySet: "0",
		Seccomp: true, Capabilities: knownCapabilities, Rlimits: map[string]uint64{"nofile": 1 << 20},
		NetSysctls: []string{"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"},
	}
}

var testFiles = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:web:/srv/web:/bin/sh\n",
	"/etc/group":  "root:x:0:\nwheel:x:10:root\nweb:x:1001:\nlogs:x:2000:web\nmedia:x:3000:\n",
}

func lookupIn(files map[string]string) func(string, int64) ([]byte, error) {
	return func(name string, max int64) ([]byte, error) {
		content, ok := files[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if int64(len(content)) > max {
			return nil, errdefs.ErrOutOfRange
		}
		return []byte(content), nil
	}
}

// input is a plain container, as Validate leaves it.
func input(t testing.TB, change func(*Input)) Input {
	t.Helper()
	in := Input{
		ID: "0123456789ab", Name: "web", Dir: "/data/containers/0123456789ab", NetNS: "/run/berth/netns/0123456789ab",
		Init: "/usr/libexec/berth/berth-init", Lookup: lookupIn(testFiles), Host: testHost(),
		Config:     &container.Config{Hostname: "0123456789ab", Cmd: []string{"sh", "-c", "true"}},
		HostConfig: &container.HostConfig{},
		Namespaces: func(ref string) (int, error) {
			if ref == "other" {
				return 4711, nil
			}
			return 0, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
		},
	}
	if change != nil {
		change(&in)
	}
	if _, err := validate(in.Config, in.HostConfig, in.Host); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	return in
}

func build(t testing.TB, change func(*Input)) *specs.Spec {
	t.Helper()
	s, err := Build(context.Background(), input(t, change))
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return s
}

func TestGolden(t *testing.T) {
	yes := true
	for name, change := range map[string]func(*Input){
		"default": nil,
		"restricted": func(in *Input) {
			in.Config = &container.Config{
				Hostname: "web", Domainname: "example.org", User: "web", Tty: true, Env: []string{"A=1", "PATH=/bin"},
				WorkingDir: "/srv/./web/", Entrypoint: []string{"/entry"}, Cmd: []string{"serve", "--port=80"},
			}
			swappiness, limit := int64(10), int64(100)
			in.HostConfig = &container.HostConfig{
				ReadonlyRootfs: true, CapDrop: []string{"all"}, CapAdd: []string{"net_bind_service"}, Init: &yes, GroupAdd: []string{"media", "4000"},
				SecurityOpt: []string{"no-new-privileges"}, Sysctls: map[string]string{"net/core/somaxconn": "1024"}, ShmSize: 1 << 20,
				ConsoleSize: [2]uint{40, 120}, CgroupnsMode: "private", Annotations: map[string]string{"org.example": "x"}, OomScoreAdj: 500,
				Resources: container.Resources{
					Memory: 64 << 20, MemoryReservation: 32 << 20, MemorySwappiness: &swappiness, NanoCPUs: 1_500_000_000, CPUShares: 1, CpusetCpus: "0-1",
					PidsLimit: &limit, CgroupParent: "../../outside", Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 64, Hard: 128}, {Name: "core", Soft: 0, Hard: 0}},
					DeviceCgroupRules: []string{"c 10:* rw"}, Devices: []container.DeviceMapping{{PathOnHost: "/dev/zero", PathInContainer: "/dev/nothing", CgroupPermissions: "r"}},
				},
			}
			in.Mounts = []specs.Mount{
				{Destination: "/data/deep/er", Type: "bind", Source: "/v/1", Options: []string{"rbind", "rprivate"}},
				{Destination: "/data", Type: "bind", Source: "/v/2", Options: []string{"rbind", "rslave"}},
				{Destination: "/etc/hosts", Type: "bind", Source: "/own/hosts", Options: []string{"rbind", "rprivate"}},
			}
		},
		"host": func(in *Input) {
			in.NetNS = ""
			in.HostConfig = &container.HostConfig{NetworkMode: "host", PidMode: "host", IpcMode: "host", UTSMode: "host"}
			in.Config.Hostname = ""
		},
		"joined": func(in *Input) {
			in.HostConfig = &container.HostConfig{PidMode: "container:other", IpcMode: "container:other", Init: &yes}
			in.Shm = "/data/containers/other/shm"
		},
		"cgroup2": func(in *Input) {
			in.Host.Cgroup2, in.Host.Swappiness, in.Host.OomKillDisable = true, false, false
			swappiness := int64(10)
			in.HostConfig = &container.HostConfig{Resources: container.Resources{
				Memory: 64 << 20, MemorySwap: -1, MemorySwappiness: &swappiness, OomKillDisable: &yes, CPUShares: 512, BlkioWeight: 500,
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := build(t, change)
			if s.Linux.Seccomp == nil || len(s.Linux.Seccomp.Syscalls) == 0 {
				t.Error("no seccomp profile")
			}
			s.Linux.Seccomp = nil // it is that of another module
			got, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s (run with -update after a look):\n%s", file, got)
			}
		})
	}
}

func TestPrivileged(t *testing.T) {
	s := build(t, func(in *Input) { in.HostConfig.Privileged = true })
	if s.Linux.Seccomp != nil || s.Linux.MaskedPaths != nil || s.Linux.ReadonlyPaths != nil {
		t.Error("privileged containers are neither filtered nor masked")
	}
	if !slices.Equal(s.Process.Capabilities.Bounding, knownCapabilities) {
		t.Errorf("capabilities: %v", s.Process.Capabilities.Bounding)
	}
	for _, m := range s.Mounts {
		if slices.Contains(m.Options, "ro") {
			t.Errorf("%s is read-only", m.Destination)
		}
	}
	if len(s.Linux.Devices) == 0 || len(s.Linux.Resources.Devices) != 1 || !s.Linux.Resources.Devices[0].Allow {
		t.Errorf("devices: %d, rules %+v", len(s.Linux.Devices), s.Linux.Resources.Devices)
	}
	for _, d := range s.Linux.Devices {
		if strings.HasPrefix(d.Path, "/dev/pts/") || d.Path == "/dev/console" {
			t.Errorf("%s belongs to the container itself", d.Path)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		want   string
		class  func(error) bool
	}{
		"no command": {func(in *Input) { in.Config.Cmd = nil }, "no command specified", errdefs.IsInvalidArgument},
		"no user":    {func(in *Input) { in.Config.User = "nobody" }, "unable to find user nobody: no matching entries in passwd file", errdefs.IsInvalidArgument},
		"no group": {func(in *Input) { in.Config.User = "web:nogroup" },
			"unable to find group nogroup: no matching entries in group file", errdefs.IsInvalidArgument},
		"uid too large":   {func(in *Input) { in.Config.User = "4294967295" }, "uids and gids must be in range 0-2147483647", errdefs.IsInvalidArgument},
		"other container": {func(in *Input) { in.HostConfig.PidMode = "container:gone" }, "failed to join PID namespace: No such container: gone", errdefs.IsInternal},
		"device": {func(in *Input) { in.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/dev/missing"}} },
			`error gathering device information while adding custom device "/dev/missing": no such file or directory`, errdefs.IsInvalidArgument},
		"not a device": {func(in *Input) { in.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: "/proc/version"}} },
			`error gathering device information while adding custom device "/proc/version": not a device node`, errdefs.IsInvalidArgument},
		"shareable without memory": {func(in *Input) { in.HostConfig.IpcMode = "shareable" },
			"ipc mode shareable: no shared memory was given to mount at /dev/shm", nil},
		"unreadable passwd": {func(in *Input) {
			in.Lookup = func(string, int64) ([]byte, error) { return nil, errdefs.ErrOutOfRange.WithMessage("too large") }
		}, "container's /etc/passwd: too large", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(context.Background(), input(t, c.change))
			if err == nil || err.Error() != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if c.class != nil && !c.class(err) {
				t.Errorf("wrong class: %#v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Build(ctx, input(t, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMountOrder(t *testing.T) {
	s := build(t, func(in *Input) {
		in.Mounts = []specs.Mount{
			{Destination: "/dev", Type: "bind", Source: "/dev"},
			{Destination: "/sys/fs/cgroup/own", Type: "bind", Source: "/x"},
			{Destination: "/a/b", Type: "bind", Source: "/x"},
			{Destination: "/a", Type: "bind", Source: "/y"},
		}
	})
	at := map[string]int{}
	for i, m := range s.Mounts {
		if _, twice := at[m.Destination]; twice {
			t.Errorf("%s is mounted twice", m.Destination)
		}
		at[m.Destination] = i
	}
	for _, gone := range []string{"/dev/shm", "/dev/pts", "/dev/mqueue"} {
		if _, ok := at[gone]; ok {
			t.Errorf("%s hides a part of the user's own /dev", gone)
		}
	}
	for _, p := range [][2]string{{"/a", "/a/b"}, {"/sys", "/sys/fs/cgroup"}, {"/sys/fs/cgroup", "/sys/fs/cgroup/own"}} {
		if at[p[0]] > at[p[1]] {
			t.Errorf("%s comes after %s", p[0], p[1])
		}
	}
}

// Build is on the way of every start; it has less than a millisecond.
func BenchmarkBuild(b *testing.B) {
	in := input(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}
