// Package system answers what a client asks of the engine as a whole: version
// and info. It holds no state of its own.
package system

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/version"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"
)

// Config is what the answers are made of.
type Config struct {
	ID         string // of this data root, stable
	DataRoot   string
	Driver     string // snapshotter
	LogConfig  ctypes.LogConfig
	Runtimes   map[string]string // name → binary
	Runtime    string            // default
	Init       string            // berth-init
	Labels     []string
	Debug      bool
	Insecure   []string // registries
	Containerd string   // its socket
	Namespace  string
	Features   Features
	Counts     func() (running, paused, stopped int)
	Images     func() int
	Listeners  func() int // of events
	Versions   []Component
	Logger     *slog.Logger
}

// Component is a part with a version of its own.
type Component struct{ Name, Version, Commit string }

// Features are what the kernel can limit.
type Features struct {
	Cgroup2, MemoryLimit, SwapLimit, CPUCfs, CPUShares, CPUSet, PidsLimit, OomKillDisable bool
	Seccomp, AppArmor, CgroupNamespaces                                                   bool
}

// System answers for one daemon.
type System struct{ Config }

// New makes one.
func New(c Config) *System { return &System{c} }

// Version is GET /version.
func (s *System) Version(context.Context) (system.VersionResponse, error) {
	v := system.VersionResponse{
		Platform:      system.PlatformInfo{Name: "Berth"},
		Version:       version.Version,
		APIVersion:    version.MaxAPI,
		MinAPIVersion: version.MinAPI,
		Os:            runtime.GOOS,
		Arch:          runtime.GOARCH,
		GitCommit:     version.Commit,
		GoVersion:     runtime.Version(),
		KernelVersion: kernel(),
		BuildTime:     version.Built,
	}
	v.Components = append(v.Components, system.ComponentVersion{Name: "Engine", Version: version.Version, Details: map[string]string{
		"ApiVersion": version.MaxAPI, "MinAPIVersion": version.MinAPI, "Os": runtime.GOOS, "Arch": runtime.GOARCH,
		"GitCommit": version.Commit, "GoVersion": runtime.Version(), "KernelVersion": v.KernelVersion,
		"BuildTime": version.Built, "Experimental": "false",
	}})
	for _, c := range s.Versions {
		v.Components = append(v.Components, system.ComponentVersion{Name: c.Name, Version: c.Version, Details: map[string]string{"GitCommit": c.Commit}})
	}
	return v, nil
}

// Info is GET /info.
func (s *System) Info(context.Context) (system.Info, error) {
	running, paused, stopped := s.Counts()
	host, _ := os.Hostname()
	f := s.Features
	i := system.Info{
		ID: s.ID, Name: host, ServerVersion: version.Version,
		Containers: running + paused + stopped, ContainersRunning: running, ContainersPaused: paused, ContainersStopped: stopped,
		Images: s.Images(),
		Driver: s.Driver, DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}},
		Plugins:     system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "null"}, Log: []string{"json-file"}},
		MemoryLimit: f.MemoryLimit, SwapLimit: f.SwapLimit, CPUCfsPeriod: f.CPUCfs, CPUCfsQuota: f.CPUCfs,
		CPUShares: f.CPUShares, CPUSet: f.CPUSet, PidsLimit: f.PidsLimit, OomKillDisable: f.OomKillDisable,
		IPv4Forwarding: first("/proc/sys/net/ipv4/ip_forward") == "1",
		Debug:          s.Debug, NFd: descriptors(), NGoroutines: runtime.NumGoroutine(), NEventsListener: s.Listeners(),
		SystemTime:    time.Now().Format(time.RFC3339Nano),
		LoggingDriver: s.LogConfig.Type, CgroupDriver: "cgroupfs", CgroupVersion: "1",
		KernelVersion: kernel(), OSType: runtime.GOOS, Architecture: machine(),
		IndexServerAddress: "https://index.docker.io/v1/",
		RegistryConfig:     s.registries(),
		NCPU:               runtime.NumCPU(), MemTotal: memory(), DockerRootDir: s.DataRoot,
		HTTPProxy: os.Getenv("HTTP_PROXY"), HTTPSProxy: os.Getenv("HTTPS_PROXY"), NoProxy: os.Getenv("NO_PROXY"),
		Labels: s.Labels, Runtimes: map[string]system.RuntimeWithStatus{}, DefaultRuntime: s.Runtime,
		Swarm:              swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive},
		LiveRestoreEnabled: true, // containers always outlive the daemon
		InitBinary:         "berth-init",
		SecurityOptions:    s.security(),
		CDISpecDirs:        []string{},
		FirewallBackend:    &system.FirewallInfo{Driver: "nftables"},
		Containerd:         &system.ContainerdInfo{Address: s.Containerd, Namespaces: system.ContainerdNamespaces{Containers: s.Namespace, Plugins: s.Namespace}},
		Warnings:           s.warnings(),
	}
	i.OperatingSystem, i.OSVersion = release()
	if f.Cgroup2 {
		i.CgroupVersion = "2"
	}
	for name, path := range s.Runtimes {
		i.Runtimes[name] = system.RuntimeWithStatus{Runtime: system.Runtime{Path: path}}
	}
	for _, c := range s.Versions {
		switch c.Name {
		case "containerd":
			i.ContainerdCommit.ID = c.Version
		case "runc":
			i.RuncCommit.ID = c.Version
		case "berth-init":
			i.InitCommit.ID = c.Version
		}
	}
	return i, nil
}

func (s *System) registries() *registry.ServiceConfig {
	return registryConfig(s.Insecure)
}

func (s *System) security() []string {
	var out []string
	if s.Features.AppArmor {
		out = append(out, "name=apparmor")
	}
	if s.Features.Seccomp {
		out = append(out, "name=seccomp,profile=builtin")
	}
	if s.Features.CgroupNamespaces {
		out = append(out, "name=cgroupns")
	}
	return out
}

// warnings are Docker's, about what the kernel lacks.
func (s *System) warnings() []string {
	var out []string
	for _, w := range []struct {
		has  bool
		text string
	}{
		{s.Features.MemoryLimit, "WARNING: No memory limit support"},
		{s.Features.SwapLimit, "WARNING: No swap limit support"},
		{s.Features.CPUCfs, "WARNING: No cpu cfs quota support"},
		{s.Features.CPUShares, "WARNING: No cpu shares support"},
		{s.Features.CPUSet, "WARNING: No cpuset support"},
		{s.Features.PidsLimit, "WARNING: No pids limit support"},
	} {
		if !w.has {
			out = append(out, w.text)
		}
	}
	return out
}

func first(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func kernel() string { return first("/proc/sys/kernel/osrelease") }

func machine() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Machine[:])
}

func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

// memory is the host's, in bytes.
func memory() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return int64(i.Totalram) * int64(i.Unit)
}
