package spec

import (
	"fmt"
	"time"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cpuPeriod is the scheduler's default period, which --cpus is a share of.
const cpuPeriod = uint64(100 * time.Millisecond / time.Microsecond)

// Resources are the container's cgroup limits, in the terms of cgroup v1, from
// which the runtime converts for v2. Device rules are not among them.
// InvalidArgument when a block device cannot be found.
func Resources(r *container.Resources, host Host) (*specs.LinuxResources, error) {
	block, err := blockIO(r)
	if err != nil {
		return nil, err
	}
	return &specs.LinuxResources{Memory: memory(r, host), CPU: cpu(r), Pids: pids(r), BlockIO: block}, nil
}

func memory(r *container.Resources, host Host) *specs.LinuxMemory {
	var m specs.LinuxMemory
	if r.Memory > 0 {
		m.Limit = &r.Memory
	}
	if r.MemoryReservation > 0 {
		m.Reservation = &r.MemoryReservation
	}
	// Without swap accounting the kernel has no file to write it to.
	if r.MemorySwap != 0 && host.SwapLimit {
		m.Swap = &r.MemorySwap
	}
	// -1 is Docker's old way to say that it is not set.
	if r.MemorySwappiness != nil && *r.MemorySwappiness >= 0 {
		v := uint64(*r.MemorySwappiness)
		m.Swappiness = &v
	}
	if r.OomKillDisable != nil && *r.OomKillDisable {
		m.DisableOOMKiller = r.OomKillDisable
	}
	if m == (specs.LinuxMemory{}) {
		return nil
	}
	return &m
}

func cpu(r *container.Resources) *specs.LinuxCPU {
	c := specs.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems}
	if r.CPUShares > 0 {
		v := uint64(r.CPUShares)
		c.Shares = &v
	}
	if r.NanoCPUs > 0 {
		period, quota := cpuPeriod, r.NanoCPUs*int64(cpuPeriod)/1e9
		c.Period, c.Quota = &period, &quota
	}
	if r.CPUPeriod != 0 {
		v := uint64(r.CPUPeriod)
		c.Period = &v
	}
	if r.CPUQuota != 0 {
		c.Quota = &r.CPUQuota
	}
	if r.CPURealtimePeriod != 0 {
		v := uint64(r.CPURealtimePeriod)
		c.RealtimePeriod = &v
	}
	if r.CPURealtimeRuntime != 0 {
		c.RealtimeRuntime = &r.CPURealtimeRuntime
	}
	if c == (specs.LinuxCPU{}) {
		return nil
	}
	return &c
}

// pids: Docker takes 0 and any negative value as no limit, the runtime only -1.
func pids(r *container.Resources) *specs.LinuxPids {
	if r.PidsLimit == nil {
		return nil
	}
	v := *r.PidsLimit
	if v <= 0 {
		v = -1
	}
	return &specs.LinuxPids{Limit: &v}
}

func blockIO(r *container.Resources) (*specs.LinuxBlockIO, error) {
	var b specs.LinuxBlockIO
	if r.BlkioWeight > 0 {
		b.Weight = &r.BlkioWeight
	}
	for _, d := range r.BlkioWeightDevice {
		if d == nil {
			continue
		}
		number, err := blockDevice(d.Path)
		if err != nil {
			return nil, err
		}
		b.WeightDevice = append(b.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: number, Weight: &d.Weight})
	}
	for _, t := range []struct {
		from []*blkiodev.ThrottleDevice
		to   *[]specs.LinuxThrottleDevice
	}{
		{r.BlkioDeviceReadBps, &b.ThrottleReadBpsDevice},
		{r.BlkioDeviceWriteBps, &b.ThrottleWriteBpsDevice},
		{r.BlkioDeviceReadIOps, &b.ThrottleReadIOPSDevice},
		{r.BlkioDeviceWriteIOps, &b.ThrottleWriteIOPSDevice},
	} {
		for _, d := range t.from {
			if d == nil {
				continue
			}
			number, err := blockDevice(d.Path)
			if err != nil {
				return nil, err
			}
			*t.to = append(*t.to, specs.LinuxThrottleDevice{LinuxBlockIODevice: number, Rate: d.Rate})
		}
	}
	if b.Weight == nil && b.WeightDevice == nil && b.ThrottleReadBpsDevice == nil && b.ThrottleWriteBpsDevice == nil &&
		b.ThrottleReadIOPSDevice == nil && b.ThrottleWriteIOPSDevice == nil {
		return nil, nil
	}
	return &b, nil
}

func blockDevice(p string) (specs.LinuxBlockIODevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return specs.LinuxBlockIODevice{}, invalid(fmt.Sprintf("stat %s: %v", p, err))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return specs.LinuxBlockIODevice{}, invalid(fmt.Sprintf("%s is not a block device", p))
	}
	return specs.LinuxBlockIODevice{Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev))}, nil
}
