package containers

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// object is the JSON object that v encodes as.
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

func inspected() container.InspectResponse {
	ep := &network.EndpointSettings{IPAddress: netip.MustParseAddr("172.18.0.2"), Aliases: []string{"alias"}}
	return container.InspectResponse{
		ID:                      "0123456789abcdef",
		Config:                  &container.Config{Hostname: "host"},
		ImageManifestDescriptor: &ocispec.Descriptor{},
		NetworkSettings:         &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{"bridge": ep, "mine": ep.Copy()}},
		Storage:                 &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: "overlayfs"}}},
	}
}

func TestConvertInspect(t *testing.T) {
	has := func(m map[string]any, key string) bool { _, ok := m[key]; return ok }
	for _, minor := range []uint16{24, 44, 45, 47, 48, 51, 52, 55} {
		c := inspected()
		o := object(t, convertInspect(c, api.V1(minor)))
		settings := o["NetworkSettings"].(map[string]any)
		mine := settings["Networks"].(map[string]any)["mine"].(map[string]any)["Aliases"].([]any)
		old := minor < 52
		if has(settings, "IPAddress") != old || old && settings["IPAddress"] != "172.18.0.2" {
			t.Errorf("1.%d: NetworkSettings.IPAddress %v", minor, settings["IPAddress"])
		}
		if has(o["Config"].(map[string]any), "OnBuild") != old {
			t.Errorf("1.%d: Config.OnBuild", minor)
		}
		if has(o, "GraphDriver") != old || has(o, "Storage") == old {
			t.Errorf("1.%d: GraphDriver %v, Storage %v", minor, o["GraphDriver"], o["Storage"])
		}
		if has(o, "ImageManifestDescriptor") != (minor >= 48) {
			t.Errorf("1.%d: ImageManifestDescriptor", minor)
		}
		want := []any{"alias"}
		if minor < 45 {
			want = []any{"alias", "0123456789ab", "host"}
		}
		if !slices.Equal(mine, want) {
			t.Errorf("1.%d: aliases %v, want %v", minor, mine, want)
		}
		if len(c.NetworkSettings.Networks["mine"].Aliases) != 1 {
			t.Errorf("1.%d: the engine's own answer was changed", minor)
		}
	}
}

// Nothing of an answer need be there.
func TestConvertInspectOfNothing(t *testing.T) {
	for minor := uint16(24); minor <= 55; minor++ {
		object(t, convertInspect(container.InspectResponse{}, api.V1(minor)))
	}
}

func TestConvertList(t *testing.T) {
	for _, minor := range []uint16{24, 45, 46, 47, 48, 51, 52, 55} {
		s := container.Summary{
			Ports:                   []container.PortSummary{{PrivatePort: 80, Type: "tcp"}, {IP: netip.MustParseAddr("::"), PrivatePort: 81, PublicPort: 1, Type: "udp"}},
			Health:                  &container.HealthSummary{},
			ImageManifestDescriptor: &ocispec.Descriptor{},
		}
		s.HostConfig.Annotations = map[string]string{"a": "b"}
		o := object(t, map[string]any{"list": ConvertList([]container.Summary{s}, api.V1(minor))})["list"].([]any)[0].(map[string]any)
		for _, c := range []struct {
			of    map[string]any
			field string
			since uint16
		}{
			{o, "Health", 52}, {o, "ImageManifestDescriptor", 48}, {o["HostConfig"].(map[string]any), "Annotations", 46},
			{o["Ports"].([]any)[0].(map[string]any), "IP", 52}, {o["Ports"].([]any)[1].(map[string]any), "IP", 0},
			{o, "Names", 0}, {o, "Labels", 0}, {o, "Mounts", 0},
		} {
			if v, ok := c.of[c.field]; ok != (minor >= c.since) || ok && v == nil {
				t.Errorf("1.%d: %s is %v", minor, c.field, v)
			}
		}
	}
	if raw, _ := json.Marshal(ConvertList(nil, api.V1(24))); string(raw) != "[]" {
		t.Errorf("nothing is %s", raw)
	}
}
