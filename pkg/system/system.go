// Package system answers what a client asks of the engine as a whole: version
// and info. It holds no state of its own.
package system

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/version"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
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
	LogDrivers []string
	LogBound   string // of a container's log, when nothing else is asked for
	Settings

	Experimental bool // features are served
	CDISpecDirs  []string
	Devices      func() ([]string, error)    // that the folders describe
	Pools        []system.NetworkAddressPool // none: built-in ones
	Proxies      Proxies
	Plain        []string // addresses where anyone reaches the API
	Containerd   string   // its socket
	Namespace    string
	Features     Features
	Counts       func() (running, paused, stopped int)
	Images       func() int
	Disk         Disk
	Events       Source
	Versions     []Component
}

// Settings are what can change while the daemon runs.
type Settings struct {
	Labels   []string
	Debug    bool
	Insecure []string          // registries
	Mirrors  []string          // of Docker Hub, without a slash at the end
	Runtimes map[string]string // name → binary
	Runtime  string            // default
}

// Proxies are URLs of proxies, and the hosts that are reached without.
type Proxies struct{ HTTP, HTTPS, No string }

// Source is where events come from. *events.Bus satisfies it.
type Source interface {
	Subscribe(ctx context.Context, since, until time.Time, f filters.Args, registered func(), each func(events.Message) error) error
	Subscribers() int
}

// Component is a part with a version of its own.
type Component struct{ Name, Version, Commit string }

// Features are what the kernel can limit.
type Features struct {
	Cgroup2, MemoryLimit, SwapLimit, CPUCfs, CPUShares, CPUSet, PidsLimit, OomKillDisable bool
	Seccomp, AppArmor, CgroupNamespaces                                                   bool
}

// System answers for one daemon.
type System struct {
	c                                  Config
	settings                           atomic.Pointer[Settings]
	containers, images, volumes, cache measurement
}

// New makes one.
func New(c Config) *System {
	s := &System{
		c:          c,
		containers: measurement{take: c.Disk.containers},
		images:     measurement{take: c.Disk.images},
		volumes:    measurement{take: c.Disk.volumes},
		cache:      measurement{take: c.Disk.cache},
	}
	s.Set(c.Settings)
	return s
}

// Set has the answers from now on tell of other settings.
func (s *System) Set(n Settings) { s.settings.Store(&n) }

// Events is GET /events.
func (s *System) Events(ctx context.Context, since, until time.Time, f filters.Args, registered func(), each func(events.Message) error) error {
	return s.c.Events.Subscribe(ctx, since, until, f, registered, each)
}

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
		Experimental:  s.c.Experimental,
	}
	v.Components = append(v.Components, system.ComponentVersion{Name: "Engine", Version: version.Version, Details: map[string]string{
		"ApiVersion": version.MaxAPI, "MinAPIVersion": version.MinAPI, "Os": runtime.GOOS, "Arch": runtime.GOARCH,
		"GitCommit": version.Commit, "GoVersion": runtime.Version(), "KernelVersion": v.KernelVersion,
		"BuildTime": version.Built, "Experimental": strconv.FormatBool(s.c.Experimental),
	}})
	for _, c := range s.c.Versions {
		v.Components = append(v.Components, system.ComponentVersion{Name: c.Name, Version: c.Version, Details: map[string]string{"GitCommit": c.Commit}})
	}
	return v, nil
}

// Labels describe this daemon to a monitoring system, under dockerd's names.
func (s *System) Labels() map[string]string {
	release, osVersion := release()
	return map[string]string{
		"architecture": machine(), "commit": version.Commit, "daemon_id": s.c.ID, "graphdriver": s.c.Driver,
		"kernel": kernel(), "os": release, "os_type": runtime.GOOS, "os_version": osVersion, "version": version.Version,
	}
}

// Info is GET /info.
func (s *System) Info(context.Context) (system.Info, error) {
	running, paused, stopped := s.c.Counts()
	host, _ := os.Hostname()
	set := s.settings.Load()
	f := s.c.Features
	i := system.Info{
		ID: s.c.ID, Name: host, ServerVersion: version.Version,
		Containers: running + paused + stopped, ContainersRunning: running, ContainersPaused: paused, ContainersStopped: stopped,
		Images: s.c.Images(),
		Driver: s.c.Driver, DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}, {"log-bound", s.c.LogBound}},
		Plugins:     system.PluginsInfo{Volume: []string{"local"}, Network: []string{"bridge", "host", "null"}, Log: s.c.LogDrivers},
		MemoryLimit: f.MemoryLimit, SwapLimit: f.SwapLimit, CPUCfsPeriod: f.CPUCfs, CPUCfsQuota: f.CPUCfs,
		CPUShares: f.CPUShares, CPUSet: f.CPUSet, PidsLimit: f.PidsLimit, OomKillDisable: f.OomKillDisable,
		IPv4Forwarding: first("/proc/sys/net/ipv4/ip_forward") == "1",
		Debug:          set.Debug, NFd: descriptors(), NGoroutines: runtime.NumGoroutine(), NEventsListener: s.c.Events.Subscribers(),
		SystemTime:    time.Now().Format(time.RFC3339Nano),
		LoggingDriver: s.c.LogConfig.Type, CgroupDriver: "cgroupfs", CgroupVersion: "1",
		KernelVersion: kernel(), OSType: runtime.GOOS, Architecture: machine(),
		IndexServerAddress: "https://index.docker.io/v1/",
		RegistryConfig:     s.registries(),
		NCPU:               runtime.NumCPU(), MemTotal: Memory(), DockerRootDir: s.c.DataRoot,
		HTTPProxy: withoutCredentials(s.c.Proxies.HTTP), HTTPSProxy: withoutCredentials(s.c.Proxies.HTTPS), NoProxy: s.c.Proxies.No,
		DefaultAddressPools: s.c.Pools,
		Labels:              append([]string{}, set.Labels...), Runtimes: map[string]system.RuntimeWithStatus{}, DefaultRuntime: set.Runtime,
		Swarm:              swarm.Info{LocalNodeState: swarm.LocalNodeStateInactive},
		ExperimentalBuild:  s.c.Experimental,
		LiveRestoreEnabled: true, // containers always outlive the daemon
		InitBinary:         "berth-init",
		SecurityOptions:    s.security(),
		CDISpecDirs:        append([]string{}, s.c.CDISpecDirs...),
		FirewallBackend:    &system.FirewallInfo{Driver: "nftables"},
		Containerd:         &system.ContainerdInfo{Address: s.c.Containerd, Namespaces: system.ContainerdNamespaces{Containers: s.c.Namespace, Plugins: s.c.Namespace}},
		Warnings:           s.warnings(),
	}
	devices, err := s.c.Devices()
	if err != nil {
		i.Warnings = append(i.Warnings, "WARNING: "+err.Error())
	}
	for _, id := range devices {
		i.DiscoveredDevices = append(i.DiscoveredDevices, system.DeviceInfo{Source: "cdi", ID: id})
	}
	i.OperatingSystem, i.OSVersion = release()
	if f.Cgroup2 {
		i.CgroupVersion = "2"
	}
	for name, path := range set.Runtimes {
		i.Runtimes[name] = system.RuntimeWithStatus{Runtime: system.Runtime{Path: path}}
	}
	for _, c := range s.c.Versions {
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
	set := s.settings.Load()
	return registryConfig(set.Insecure, set.Mirrors)
}

func (s *System) security() []string {
	var out []string
	if s.c.Features.AppArmor {
		out = append(out, "name=apparmor")
	}
	if s.c.Features.Seccomp {
		out = append(out, "name=seccomp,profile=builtin")
	}
	if s.c.Features.CgroupNamespaces {
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
		{s.c.Features.MemoryLimit, "WARNING: No memory limit support"},
		{s.c.Features.SwapLimit, "WARNING: No swap limit support"},
		{s.c.Features.CPUCfs, "WARNING: No cpu cfs quota support"},
		{s.c.Features.CPUShares, "WARNING: No cpu shares support"},
		{s.c.Features.CPUSet, "WARNING: No cpuset support"},
		{s.c.Features.PidsLimit, "WARNING: No pids limit support"},
	} {
		if !w.has {
			out = append(out, w.text)
		}
	}
	for _, address := range s.c.Plain {
		out = append(out, "WARNING: API is accessible on http://"+address+" without encryption. Who reaches it is root on this host")
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

// Memory is the host's, in bytes.
func Memory() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return int64(i.Totalram) * int64(i.Unit)
}

// Actor is the daemon in events about it, with the attributes that Docker gives.
func (s *System) Actor() events.Actor {
	host, _ := os.Hostname()
	set := s.settings.Load()
	return events.Actor{ID: s.c.ID, Attributes: map[string]string{
		"name": host, "debug": strconv.FormatBool(set.Debug),
		"labels": strings.Join(set.Labels, ","), "insecure-registries": strings.Join(set.Insecure, ","),
	}}
}
