package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Update changes limits and restart policy, of a container that runs at once.
// What is zero in c stays as it is. InvalidArgument: limits that contradict one
// another or the host; Conflict: they contradict what the container has.
func (e *Engine) Update(ctx context.Context, ref string, c *ctypes.UpdateConfig) (ctypes.UpdateResponse, error) {
	if err := ctypes.ValidateRestartPolicy(c.RestartPolicy); err != nil {
		return ctypes.UpdateResponse{}, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	warnings, err := spec.ValidateResources(&c.Resources, e.updater.host, true)
	if err != nil {
		return ctypes.UpdateResponse{}, err
	}
	u, err := e.units.Find(ref)
	if err != nil {
		return ctypes.UpdateResponse{}, err
	}
	err = u.Do(ctx, func(ctx context.Context) error { return e.updater.update(ctx, u, c) })
	return ctypes.UpdateResponse{Warnings: warnings}, err
}

// updater changes what containers may use.
type updater struct {
	host   spec.Host
	tasks  taskControl
	writer *unit.Writer
	events Publisher
}

// update applies c before it is recorded: limits that the kernel refuses change
// nothing. Owner only.
func (p *updater) update(ctx context.Context, u *unit.Unit, c *ctypes.UpdateConfig) error {
	v := u.View()
	if v.Status.Gone() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot update container %s: container is marked for removal and cannot be \"update\"", u.ID))
	}
	if problem := contradiction(v.Record.HostConfig, c); problem != "" {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot update container %s: %s", u.ID, problem))
	}
	hc := merge(v.Record.HostConfig, c)
	if v.Status.Live() {
		limits, err := spec.Resources(updatable(v.Record.HostConfig, c), p.host)
		if err == nil {
			err = p.tasks.UpdateTask(ctx, u.ID, limits)
		}
		if err != nil {
			return fmt.Errorf("Cannot update container %s: %w", u.ID, err)
		}
	}
	r := *v.Record
	r.HostConfig = hc
	u.Publish(&r, u.Status())
	p.events.Publish(u.Event(events.ActionUpdate, nil))
	return p.writer.Save(ctx, u.ID)
}

// merge gives the configuration that follows; old stays as it is.
func merge(old *ctypes.HostConfig, c *ctypes.UpdateConfig) *ctypes.HostConfig {
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

// contradiction says, in Docker's words, why old cannot be changed so; "" if it
// can.
func contradiction(old *ctypes.HostConfig, c *ctypes.UpdateConfig) string {
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
