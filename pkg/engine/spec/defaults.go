package spec

import (
	"net/netip"
	"slices"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// Defaults are what the daemon's configuration says for containers that do not
// say otherwise. The zero value says nothing but Docker's own defaults.
type Defaults struct {
	LogConfig    container.LogConfig
	Init         bool  // as --init
	ShmSize      int64 // bytes
	IpcMode      container.IpcMode
	CgroupnsMode container.CgroupnsMode
	CgroupParent string // "" is "/berth"
	Ulimits      []*units.Ulimit

	NoNewPrivileges bool
	Seccomp         string // "unconfined" or a profile's JSON; "" is Docker's profile

	DNS                   []netip.Addr
	DNSSearch, DNSOptions []string
	HostGateway           []netip.Addr // what host-gateway stands for; none: the default bridge's gateway
}

// Check finds what every container would be refused for. InvalidArgument.
func (d Defaults) Check() error { return validateSeccomp(security{seccomp: d.Seccomp}) }

// Fill gives a request what it does not say.
func (d Defaults) Fill(hc *container.HostConfig) {
	if hc.LogConfig.Type == "" {
		hc.LogConfig.Type = d.LogConfig.Type
		if hc.LogConfig.Config == nil {
			hc.LogConfig.Config = d.LogConfig.Config
		}
	}
	if hc.Init == nil && d.Init {
		hc.Init = &d.Init
	}
	if hc.ShmSize == 0 {
		hc.ShmSize = d.ShmSize
	}
	if hc.IpcMode.IsEmpty() {
		hc.IpcMode = d.IpcMode
	}
	if hc.CgroupnsMode.IsEmpty() {
		hc.CgroupnsMode = d.CgroupnsMode
	}
	for _, u := range d.Ulimits {
		same := func(o *units.Ulimit) bool { return o != nil && o.Name == u.Name }
		if !slices.ContainsFunc(hc.Ulimits, same) {
			hc.Ulimits = append(hc.Ulimits, u)
		}
	}
}

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
