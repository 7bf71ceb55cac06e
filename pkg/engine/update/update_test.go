package update

import (
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/blkiodev"
	ctypes "github.com/moby/moby/api/types/container"
)

func TestUpdateContradicts(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name string
		old  ctypes.HostConfig
		ask  ctypes.UpdateConfig
		want string // a part of the message; "" is none
	}{
		{"CPUs beside a period", ctypes.HostConfig{Resources: ctypes.Resources{CPUPeriod: 5000}}, ctypes.UpdateConfig{Resources: ctypes.Resources{NanoCPUs: 1e9}}, "as CPU Period has"},
		{"CPUs beside a quota", ctypes.HostConfig{Resources: ctypes.Resources{CPUQuota: 5000}}, ctypes.UpdateConfig{Resources: ctypes.Resources{NanoCPUs: 1e9}}, "as CPU Quota has"},
		{"period beside CPUs", ctypes.HostConfig{Resources: ctypes.Resources{NanoCPUs: 1e9}}, ctypes.UpdateConfig{Resources: ctypes.Resources{CPUPeriod: 5000}}, "CPU Period cannot"},
		{"quota beside CPUs", ctypes.HostConfig{Resources: ctypes.Resources{NanoCPUs: 1e9}}, ctypes.UpdateConfig{Resources: ctypes.Resources{CPUQuota: 5000}}, "CPU Quota cannot"},
		{"memory above memory and swap", ctypes.HostConfig{Resources: ctypes.Resources{Memory: 8 * mib, MemorySwap: 16 * mib}}, ctypes.UpdateConfig{Resources: ctypes.Resources{Memory: 17 * mib}}, "update the memoryswap at the same time"},
		{"both", ctypes.HostConfig{Resources: ctypes.Resources{Memory: 8 * mib, MemorySwap: 16 * mib}}, ctypes.UpdateConfig{Resources: ctypes.Resources{Memory: 17 * mib, MemorySwap: -1}}, ""},
		{"policy of one that is removed", ctypes.HostConfig{AutoRemove: true}, ctypes.UpdateConfig{RestartPolicy: ctypes.RestartPolicy{Name: "always"}}, "because AutoRemove is enabled"},
		{"no policy for one that is removed", ctypes.HostConfig{AutoRemove: true}, ctypes.UpdateConfig{RestartPolicy: ctypes.RestartPolicy{Name: "no"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Contradiction(&c.old, &c.ask)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

// A list of devices replaces the one before; the runtime is told of what changes.
func TestUpdateDevices(t *testing.T) {
	limit := func(path string, rate uint64) *blkiodev.ThrottleDevice {
		return &blkiodev.ThrottleDevice{Path: path, Rate: rate}
	}
	old := &ctypes.HostConfig{Resources: ctypes.Resources{
		BlkioWeightDevice:  []*blkiodev.WeightDevice{{Path: "/dev/null", Weight: 100}},
		BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{limit("/dev/null", 1), limit("/dev/gone", 2), limit("/dev/zero", 3)},
	}}
	for _, c := range []struct {
		asked, kept, told []*blkiodev.ThrottleDevice
	}{
		{nil, old.BlkioDeviceReadBps, nil},
		{[]*blkiodev.ThrottleDevice{limit("/dev/null", 7)}, []*blkiodev.ThrottleDevice{limit("/dev/null", 7)}, []*blkiodev.ThrottleDevice{limit("/dev/null", 7), limit("/dev/zero", 0)}},
		{[]*blkiodev.ThrottleDevice{}, []*blkiodev.ThrottleDevice{}, []*blkiodev.ThrottleDevice{limit("/dev/null", 0), limit("/dev/zero", 0)}},
	} {
		ask := &ctypes.UpdateConfig{Resources: ctypes.Resources{BlkioDeviceReadBps: c.asked}}
		if got := Merge(old, ask).BlkioDeviceReadBps; !reflect.DeepEqual(got, c.kept) {
			t.Errorf("%v: kept %v, want %v", c.asked, got, c.kept)
		}
		if got := Runtime(old, ask).BlkioDeviceReadBps; !reflect.DeepEqual(got, c.told) {
			t.Errorf("%v: told %v, want %v", c.asked, got, c.told)
		}
	}
	ask := &ctypes.UpdateConfig{Resources: ctypes.Resources{BlkioWeightDevice: []*blkiodev.WeightDevice{}}}
	if got := Runtime(old, ask).BlkioWeightDevice; len(got) != 1 || got[0].Weight != 0 || len(Merge(old, ask).BlkioWeightDevice) != 0 {
		t.Errorf("weights: %v", got)
	}
}
