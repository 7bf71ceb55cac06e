package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
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
			got := contradiction(&c.old, &c.ask)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e)
	before, _ := e.Reader().Inspect(t.Context(), id, false)
	ask := &ctypes.UpdateConfig{RestartPolicy: ctypes.RestartPolicy{Name: "always"}}
	w.journal.failing("update", errors.New("device or resource busy"))
	if _, err := e.Update(t.Context(), id, ask); err == nil || err.Error() != "Cannot update container "+id+": device or resource busy" {
		t.Errorf("%v", err)
	}
	if after, _ := e.Reader().Inspect(t.Context(), id, false); after.HostConfig.RestartPolicy.Name != before.HostConfig.RestartPolicy.Name {
		t.Error("an update that failed was recorded")
	}
	w.journal.failing("update", nil)
	if _, err := e.Update(t.Context(), id, ask); err != nil {
		t.Fatal(err)
	}
	e.Close()
	e = w.engine() // as it is on disk
	if after, _ := e.Reader().Inspect(t.Context(), id, false); after.HostConfig.RestartPolicy.Name != "always" || before.HostConfig.RestartPolicy.Name == "always" {
		t.Errorf("before %v, after %v", before.HostConfig.RestartPolicy, after.HostConfig.RestartPolicy)
	}
	if _, err := e.Update(t.Context(), id, &ctypes.UpdateConfig{RestartPolicy: ctypes.RestartPolicy{Name: "often"}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("%v", err)
	}
}
