// Package update says what becomes of a container's configuration when its limits and
// restart policy are changed. It is pure.
package update

import (
	ctypes "github.com/moby/moby/api/types/container"
)

// Merge gives the configuration that follows; old stays as it is.
func Merge(old *ctypes.HostConfig, c *ctypes.UpdateConfig) *ctypes.HostConfig {
	hc := *old
	set(&hc.BlkioWeight, c.BlkioWeight)
	setDevices(&hc.BlkioWeightDevice, c.BlkioWeightDevice)
	setDevices(&hc.BlkioDeviceReadBps, c.BlkioDeviceReadBps)
	setDevices(&hc.BlkioDeviceWriteBps, c.BlkioDeviceWriteBps)
	setDevices(&hc.BlkioDeviceReadIOps, c.BlkioDeviceReadIOps)
	setDevices(&hc.BlkioDeviceWriteIOps, c.BlkioDeviceWriteIOps)
	set(&hc.CPUShares, c.CPUShares)
	set(&hc.NanoCPUs, c.NanoCPUs)
	set(&hc.CPUPeriod, c.CPUPeriod)
	set(&hc.CPUQuota, c.CPUQuota)
	set(&hc.CpusetCpus, c.CpusetCpus)
	set(&hc.CpusetMems, c.CpusetMems)
	set(&hc.Memory, c.Memory)
	set(&hc.MemorySwap, c.MemorySwap)
	set(&hc.MemoryReservation, c.MemoryReservation)
	set(&hc.CPURealtimePeriod, c.CPURealtimePeriod)
	set(&hc.CPURealtimeRuntime, c.CPURealtimeRuntime)
	set(&hc.PidsLimit, c.PidsLimit)
	if c.RestartPolicy.Name != "" {
		hc.RestartPolicy = c.RestartPolicy
	}
	return &hc
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

// setDevices replaces a list, also by an empty one; nil leaves it as it is.
func setDevices[T any](to *[]T, v []T) {
	if v != nil {
		*to = v
	}
}

// Contradiction says, in Docker's words, why old cannot be changed so; "" if it
// can.
func Contradiction(old *ctypes.HostConfig, c *ctypes.UpdateConfig) string {
	switch {
	case c.NanoCPUs > 0 && old.CPUPeriod > 0:
		return "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"
	case c.NanoCPUs > 0 && old.CPUQuota > 0:
		return "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
	case c.CPUPeriod > 0 && old.NanoCPUs > 0:
		return "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"
	case c.CPUQuota > 0 && old.NanoCPUs > 0:
		return "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
	case c.Memory != 0 && c.Memory > old.MemorySwap && c.MemorySwap == 0:
		return "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
	case c.RestartPolicy.Name != "" && old.AutoRemove && !c.RestartPolicy.IsNone():
		return "Restart policy cannot be updated because AutoRemove is enabled for the container"
	}
	return ""
}
