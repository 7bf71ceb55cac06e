package system

import (
	"encoding/json"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
)

func object(t *testing.T, v any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConvertInfo(t *testing.T) {
	info := system.Info{
		Containerd: &system.ContainerdInfo{}, NRI: &system.NRIInfo{}, FirewallBackend: &system.FirewallInfo{},
		DiscoveredDevices: []system.DeviceInfo{{}}, RegistryConfig: &registry.ServiceConfig{},
		RuncCommit: system.Commit{ID: "abc"},
		Runtimes:   map[string]system.RuntimeWithStatus{"runc": {Status: map[string]string{"a": "b"}}},
	}
	for minor := uint16(24); minor <= 55; minor++ {
		o := object(t, convertInfo(info, api.V1(minor)))
		commit, reg := o["RuncCommit"].(map[string]any), o["RegistryConfig"].(map[string]any)
		for _, c := range []struct {
			in        map[string]any
			field     string
			from, end uint16
		}{
			{o, "Containerd", 46, 99}, {o, "NRI", 53, 99}, {o, "FirewallBackend", 49, 99}, {o, "DiscoveredDevices", 50, 99},
			{o, "BridgeNfIptables", 0, 50}, {o, "BridgeNfIp6tables", 0, 50},
			{o["Runtimes"].(map[string]any)["runc"].(map[string]any), "status", 44, 99},
			{commit, "ID", 0, 99}, {commit, "Expected", 0, 49},
			{reg, "AllowNondistributableArtifactsCIDRs", 0, 49}, {reg, "IndexConfigs", 0, 99},
		} {
			if _, ok := c.in[c.field]; ok != (minor >= c.from && minor < c.end) {
				t.Errorf("1.%d: %s is there: %v", minor, c.field, ok)
			}
		}
	}
	if info.Runtimes["runc"].Status == nil {
		t.Error("the daemon's own answer was changed")
	}
}

func TestConvertEvent(t *testing.T) {
	for _, c := range []struct {
		of     events.Type
		fields []string
	}{
		{events.ContainerEventType, []string{"id", "status", "from"}},
		{events.ImageEventType, []string{"id", "status"}},
		{events.NetworkEventType, nil},
	} {
		for minor, n := range map[uint16]int{24: len(c.fields), 51: len(c.fields), 52: 0} {
			o := object(t, convertEvent(events.Message{Type: c.of, Action: "start", Actor: events.Actor{ID: "x"}}, api.V1(minor)))
			if len(o) != 3+n {
				t.Errorf("1.%d: %s: %v", minor, c.of, o)
			}
			for _, f := range c.fields[:n] {
				if _, ok := o[f]; !ok {
					t.Errorf("1.%d: %s: no %s", minor, c.of, f)
				}
			}
		}
	}
}
