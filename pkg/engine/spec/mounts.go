package spec

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// initPath is where --init puts the init binary, where Docker has it.
const initPath = "/sbin/docker-init"

// mounts lists all mounts of the container: the kernel's file systems, the
// three files of the network, and what the user asked for. A user's mount
// takes the place of ours. Parents come before what is mounted below them.
func mounts(in Input, sec security) ([]specs.Mount, error) {
	taken := make(map[string]bool, len(in.Mounts))
	for _, m := range in.Mounts {
		taken[path.Clean(m.Destination)] = true
	}
	ours, err := kernelMounts(in.HostConfig, sec, in.Shm)
	if err != nil {
		return nil, err
	}
	ours = append(ours, fileMounts(in)...)
	var out []specs.Mount
	for _, m := range ours {
		// A /dev of the user's own is left as it is.
		if taken[m.Destination] || taken["/dev"] && strings.HasPrefix(m.Destination, "/dev/") {
			continue
		}
		out = append(out, m)
	}
	out = append(out, in.Mounts...)
	slices.SortStableFunc(out, func(a, b specs.Mount) int { return depth(a.Destination) - depth(b.Destination) })
	return out, nil
}

func depth(p string) int { return strings.Count(strings.TrimSuffix(path.Clean(p), "/"), "/") }

// kernelMounts are the mounts of Docker's default specification, as changed by
// --privileged, --read-only, the ipc mode and writable-cgroups.
func kernelMounts(hc *container.HostConfig, sec security, shm string) ([]specs.Mount, error) {
	ro := func(writable bool, opts ...string) []string {
		if !writable || hc.ReadonlyRootfs {
			opts = append(opts, "ro")
		}
		return opts
	}
	out := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: ro(hc.Privileged, "nosuid", "noexec", "nodev")},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: cgroupOptions(hc, sec)},
	}
	if hc.IpcMode.IsNone() {
		return out, nil
	}
	out = append(out, specs.Mount{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}})
	m := specs.Mount{Destination: "/dev/shm", Type: "bind", Source: shm, Options: []string{"rbind", "rprivate"}}
	switch {
	case hc.IpcMode.IsHost():
		m.Source = "/dev/shm"
	case hc.IpcMode.IsShareable(), hc.IpcMode.IsContainer():
		if shm == "" {
			return nil, fmt.Errorf("ipc mode %s: no shared memory was given to mount at /dev/shm", hc.IpcMode)
		}
	default:
		m = specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: shmOptions(hc.ShmSize)}
	}
	return append(out, m), nil
}

// cgroupOptions: writable only for who may do anything anyway, or asked for it.
func cgroupOptions(hc *container.HostConfig, sec security) []string {
	opts := []string{"nosuid", "noexec", "nodev"}
	writable := hc.Privileged
	if sec.writableCgroups != nil {
		writable = *sec.writableCgroups
	}
	if !writable {
		return append([]string{"ro"}, opts...)
	}
	return append([]string{"rw"}, opts...)
}

// fileMounts are hostname, hosts and resolv.conf, and the init binary.
func fileMounts(in Input) []specs.Mount {
	var out []specs.Mount
	if in.Dir != "" {
		opts := []string{"rbind", "rprivate"}
		if in.HostConfig.ReadonlyRootfs {
			opts = append(opts, "ro")
		}
		for _, f := range []string{"resolv.conf", "hostname", "hosts"} {
			out = append(out, specs.Mount{Destination: "/etc/" + f, Type: "bind", Source: filepath.Join(in.Dir, f), Options: opts})
		}
	}
	if usesInit(in) {
		out = append(out, specs.Mount{Destination: initPath, Type: "bind", Source: in.Init, Options: []string{"bind", "ro"}})
	}
	return out
}

// usesInit: --init only makes sense for who is PID 1.
func usesInit(in Input) bool {
	hc := in.HostConfig
	return hc.Init != nil && *hc.Init && hc.PidMode.IsPrivate()
}

// rootfsPropagation is as wide as the widest mount needs: events can only pass
// through a rootfs that is itself shared or a slave. "" is the runtime's
// default, private.
func rootfsPropagation(mounts []specs.Mount) string {
	out := ""
	for _, m := range mounts {
		for _, o := range m.Options {
			switch o {
			case "shared", "rshared":
				return "rshared"
			case "slave", "rslave":
				out = "rslave"
			}
		}
	}
	return out
}

// Docker's default lists. /proc/interrupts and the CPUs' thermal_throttle (of
// Host.Masked) tell what else runs on the host (moby GHSA-6fw5-f8r9-fgfm).
var (
	defaultMasked = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
		"/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	defaultReadonly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// hiddenPaths are the masked and the read-only paths. nil asks for the default,
// an empty list for none; --privileged hides nothing.
func hiddenPaths(hc *container.HostConfig, host Host) (masked, readonly []string) {
	if hc.Privileged {
		return nil, nil
	}
	masked, readonly = hc.MaskedPaths, hc.ReadonlyPaths
	if masked == nil {
		masked = slices.Concat(defaultMasked, host.Masked)
	}
	if readonly == nil {
		readonly = defaultReadonly
	}
	return masked, readonly
}
