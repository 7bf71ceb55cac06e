package update

import (
	"os"
	"slices"

	"github.com/moby/moby/api/types/blkiodev"
	ctypes "github.com/moby/moby/api/types/container"
)

// Runtime are the limits that the OCI runtime is told of a container that runs. Of
// single devices, which need not exist any more, those that change: runc adds to what
// it has, so that a device without a limit any more gets 0, which is none.
func Runtime(old *ctypes.HostConfig, c *ctypes.UpdateConfig) *ctypes.Resources {
	r := Merge(old, c).Resources
	r.BlkioWeightDevice = weights(old.BlkioWeightDevice, c.BlkioWeightDevice)
	r.BlkioDeviceReadBps = throttles(old.BlkioDeviceReadBps, c.BlkioDeviceReadBps)
	r.BlkioDeviceWriteBps = throttles(old.BlkioDeviceWriteBps, c.BlkioDeviceWriteBps)
	r.BlkioDeviceReadIOps = throttles(old.BlkioDeviceReadIOps, c.BlkioDeviceReadIOps)
	r.BlkioDeviceWriteIOps = throttles(old.BlkioDeviceWriteIOps, c.BlkioDeviceWriteIOps)
	return &r
}

// throttles are those asked for, and none for the other devices of old; nil changes
// nothing.
func throttles(old, asked []*blkiodev.ThrottleDevice) []*blkiodev.ThrottleDevice {
	if asked == nil {
		return nil
	}
	out := slices.Clone(asked)
	for _, d := range old {
		again := d == nil || slices.ContainsFunc(asked, func(a *blkiodev.ThrottleDevice) bool { return a != nil && a.Path == d.Path })
		if !again && there(d.Path) {
			out = append(out, &blkiodev.ThrottleDevice{Path: d.Path})
		}
	}
	return out
}

// weights are the same of weights.
func weights(old, asked []*blkiodev.WeightDevice) []*blkiodev.WeightDevice {
	if asked == nil {
		return nil
	}
	out := slices.Clone(asked)
	for _, d := range old {
		again := d == nil || slices.ContainsFunc(asked, func(a *blkiodev.WeightDevice) bool { return a != nil && a.Path == d.Path })
		if !again && there(d.Path) {
			out = append(out, &blkiodev.WeightDevice{Path: d.Path})
		}
	}
	return out
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
