package spec

import (
	"slices"

	"github.com/moby/moby/api/types/container"
)

const defaultShmSize = 64 << 20

// adapt fills in the defaults that Docker shows in `inspect`.
func adapt(hc *container.HostConfig, host Host) {
	if hc.NetworkMode == "" || hc.NetworkMode.IsDefault() {
		hc.NetworkMode = "bridge"
	}
	if hc.RestartPolicy.Name == "" {
		hc.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	if hc.ShmSize == 0 {
		hc.ShmSize = defaultShmSize
	}
	if hc.IpcMode.IsEmpty() {
		hc.IpcMode = container.IPCModePrivate
	}
	if hc.CgroupnsMode.IsEmpty() {
		hc.CgroupnsMode = container.CgroupnsModeHost
		if host.Cgroup2 {
			hc.CgroupnsMode = container.CgroupnsModePrivate
		}
	}
	masked, readonly := hiddenPaths(hc, host)
	hc.MaskedPaths, hc.ReadonlyPaths = slices.Clone(masked), slices.Clone(readonly)
	if hc.Privileged && len(hc.SecurityOpt) == 0 {
		hc.SecurityOpt = []string{"label=disable"} // as Docker shows it
	}
	adaptResources(&hc.Resources)
	if hc.OomKillDisable == nil && host.OomKillDisable {
		hc.OomKillDisable = new(bool)
	}
}

// adaptResources brings values into the kernel's range.
func adaptResources(r *container.Resources) {
	const minShares, maxShares = 2, 262144 // kernel/sched/sched.h
	if r.CPUShares > 0 {
		r.CPUShares = min(max(r.CPUShares, minShares), maxShares)
	}
	if r.Memory > 0 && r.MemorySwap == 0 {
		r.MemorySwap = 2 * r.Memory
	}
	// Old clients send -1 for what they do not set.
	if r.MemorySwappiness != nil && *r.MemorySwappiness == -1 {
		r.MemorySwappiness = nil
	}
}
