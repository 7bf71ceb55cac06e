package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

// Host is what a specification depends on that is not the user's choice. It is
// read once; nothing of it changes while the daemon lives.
type Host struct {
	Cgroup2          bool // unified hierarchy
	CgroupNamespaces bool
	Controllers      []string // of cgroups that are mounted

	// What the controllers can do.
	MemoryLimit, MemoryReservation, SwapLimit, Swappiness, OomKillDisable bool
	CPUShares, CPUCfs, CPURealtime, Cpuset, PidsLimit                     bool
	BlkioWeight, BlkioWeightDevice, BlkioThrottle                         bool

	CPUs       int    // that the daemon may use
	CPUSet     string // CPUs and memory nodes that are online: "0-3,8"
	MemorySet  string
	Seccomp    bool     // the kernel filters system calls
	AppArmor   bool     // the kernel has it, switched on
	NetSysctls []string // of those that Docker sets, the ones that the kernel has
	Masked     []string // paths to hide from containers besides Docker's fixed list

	AppArmorProfile string            // loaded default profile, "" without one
	Capabilities    []string          // bounding set of the daemon, "CAP_…"
	Rlimits         map[string]uint64 // hard limits of the daemon: "nofile" → n
	OOMScoreAdj     int               // of the daemon
}

// Can says whether the daemon has a capability to use or to give away.
func (h Host) Can(c string) bool { return slices.Contains(h.Capabilities, c) }

// DetectHost reads the facts of this machine.
func DetectHost() (Host, error) {
	var h Host
	var err error
	if h.Capabilities, err = boundingSet(); err != nil {
		return h, fmt.Errorf("reading the capabilities: %w", err)
	}
	h.Rlimits = hardLimits()
	h.CPUs = runtime.NumCPU()
	h.CPUSet, h.MemorySet = line("/sys/devices/system/cpu/online"), line("/sys/devices/system/node/online")
	if h.MemorySet == "" {
		h.MemorySet = "0" // a kernel without NUMA has one node
	}
	_, _ = fmt.Sscan(line("/proc/self/oom_score_adj"), &h.OOMScoreAdj)
	h.CgroupNamespaces = exists("/proc/self/ns/cgroup")
	h.Seccomp = unix.Prctl(unix.PR_GET_SECCOMP, 0, 0, 0, 0) == nil
	h.AppArmor = line("/sys/module/apparmor/parameters/enabled") == "Y"
	if h.AppArmor {
		h.AppArmorProfile = loadedProfile()
	}
	for _, k := range []string{"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"} {
		if exists("/proc/sys/" + strings.ReplaceAll(k, ".", "/")) {
			h.NetSysctls = append(h.NetSysctls, k)
		}
	}
	if h.Masked, err = filepath.Glob("/sys/devices/system/cpu/cpu*/thermal_throttle"); err != nil {
		return h, err
	}
	return h, h.detectCgroups("/sys/fs/cgroup")
}

func boundingSet() ([]string, error) {
	last, err := capability.LastCap()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range capability.ListKnown() {
		if c > last {
			break
		}
		has, err := capability.GetBound(c)
		if err != nil {
			return nil, err
		}
		if has {
			out = append(out, capabilityName(c))
		}
	}
	return out, nil
}

func hardLimits() map[string]uint64 {
	out := make(map[string]uint64)
	for name, r := range map[string]int{
		"core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
		"locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE,
		"nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
		"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
	} {
		var l unix.Rlimit
		if unix.Getrlimit(r, &l) == nil {
			out[name] = l.Max
		}
	}
	return out
}

// loadedProfile is the default profile of ours or, on a host where Docker was
// at work, Docker's; "" when none is loaded.
func loadedProfile() string {
	b, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return ""
	}
	for _, p := range []string{"berth-default", "docker-default"} {
		if bytes.Contains(b, []byte(p+" (")) {
			return p
		}
	}
	return ""
}

// detectCgroups looks at a cgroup file system at root.
func (h *Host) detectCgroups(root string) error {
	if exists(filepath.Join(root, "cgroup.controllers")) {
		h.Cgroup2 = true
		h.Controllers = strings.Fields(line(filepath.Join(root, "cgroup.controllers")))
		has := func(c string) bool { return slices.Contains(h.Controllers, c) }
		h.MemoryLimit, h.MemoryReservation = has("memory"), has("memory")
		h.SwapLimit = has("memory") && swapAccounted(root)
		h.CPUShares, h.CPUCfs, h.Cpuset, h.PidsLimit = has("cpu"), has("cpu"), has("cpuset"), has("pids")
		h.BlkioWeight, h.BlkioWeightDevice, h.BlkioThrottle = has("io"), has("io"), has("io")
		return nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("no cgroup file system: %w", err)
	}
	for _, e := range entries {
		// cpu,cpuacct is one hierarchy, with links named after its parts.
		if exists(filepath.Join(root, e.Name(), "cgroup.procs")) && e.Name() != "unified" {
			h.Controllers = append(h.Controllers, strings.Split(e.Name(), ",")...)
		}
	}
	slices.Sort(h.Controllers)
	h.Controllers = slices.Compact(h.Controllers)
	has := func(file string) bool { return exists(filepath.Join(root, file)) }
	h.MemoryLimit, h.MemoryReservation = has("memory/memory.limit_in_bytes"), has("memory/memory.soft_limit_in_bytes")
	h.SwapLimit, h.Swappiness = has("memory/memory.memsw.limit_in_bytes"), has("memory/memory.swappiness")
	h.OomKillDisable = has("memory/memory.oom_control")
	h.CPUShares, h.CPUCfs, h.CPURealtime = has("cpu/cpu.shares"), has("cpu/cpu.cfs_quota_us"), has("cpu/cpu.rt_period_us")
	h.Cpuset, h.PidsLimit = has("cpuset/cpuset.cpus"), has("pids/cgroup.procs")
	h.BlkioWeight, h.BlkioWeightDevice = has("blkio/blkio.weight"), has("blkio/blkio.weight_device")
	h.BlkioThrottle = has("blkio/blkio.throttle.read_bps_device")
	return nil
}

// swapAccounted: the root group has no memory.swap.max; any group below it does.
func swapAccounted(root string) bool {
	found, err := filepath.Glob(filepath.Join(root, "*", "memory.swap.max"))
	return err == nil && len(found) > 0
}

func line(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist) && err == nil
}
