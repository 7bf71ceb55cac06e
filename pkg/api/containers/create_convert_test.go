package containers

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/containerd/cgroups/v3"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func decode(t *testing.T, body string) *createBody {
	t.Helper()
	b := &createBody{}
	if err := json.Unmarshal([]byte(body), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// compact is what the engine gets, as JSON of the fields that tests look at.
func compact(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestCreateRefused(t *testing.T) {
	host := func(h string) string { return `{"Image":"a","HostConfig":` + h + `}` }
	for _, c := range []struct {
		name, body string
		at         uint16
		want       string
	}{
		{"no config", `{}`, 55, "config cannot be empty in order to create a container"},
		{"wrong options", host(`{"Mounts":[{"Type":"bind","VolumeOptions":{}}]}`), 42, `VolumeOptions must not be specified on mount type "bind"`},
		{"wrong options, bind", host(`{"Mounts":[{"Type":"volume","BindOptions":{}}]}`), 55, `BindOptions must not be specified on mount type "volume"`},
		{"wrong options, tmpfs", host(`{"Mounts":[{"Type":"volume","TmpfsOptions":{}}]}`), 55, `TmpfsOptions must not be specified on mount type "volume"`},
		{"force recursive", host(`{"Mounts":[{"Type":"bind","BindOptions":{"ReadOnlyForceRecursive":true}}]}`), 43, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"},
		{"subpath", host(`{"Mounts":[{"Type":"volume","VolumeOptions":{"Subpath":"x"}}]}`), 44, "VolumeOptions.Subpath needs API v1.45 or newer"},
		{"image", host(`{"Mounts":[{"Type":"image"}]}`), 47, `Mount type "Image" needs API v1.48 or newer`},
		{"two networks", `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"b":{},"a":{}}}}`, 43, "Container cannot be created with multiple network endpoints: a, b"},
		{"MAC and host", `{"Image":"a","MacAddress":"02:00:00:00:00:01","HostConfig":{"NetworkMode":"host"}}`, 43, "conflicting options: mac-address and the network mode"},
		{"MAC of another", `{"Image":"a","MacAddress":"02:00:00:00:00:01","NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"02:00:00:00:00:02"}}}}`, 44, "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty"},
		{"MAC for whom", `{"Image":"a","MacAddress":"02:00:00:00:00:01","NetworkingConfig":{"EndpointsConfig":{"x":{}}}}`, 44, "unable to migrate container-wide MAC address to a specific network: HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks"},
		{"MAC of nothing", `{"Image":"a","MacAddress":"02:00:00:00:00:01","NetworkingConfig":{"EndpointsConfig":{"bridge":null}}}`, 43, "unable to migrate container-wide MAC address to a specific network: invalid config for network bridge: EndpointsConfig is nil"},
		{"sysctl of nothing", `{"Image":"a","HostConfig":{"Sysctls":{"net.ipv4.conf.eth0.mtu":"1"}},"NetworkingConfig":{"EndpointsConfig":{"x":null}}}`, 43, "unable to find a network for sysctl net.ipv4.conf.eth0.mtu: invalid config for network x: EndpointsConfig is nil"},
		{"no MAC", `{"Image":"a","MacAddress":"x"}`, 51, "invalid MAC address: address x: invalid MAC address"},
		{"sysctl, new", host(`{"Sysctls":{"net.ipv4.conf.eth0.mtu":"1"}}`), 48, "interface specific sysctl setting \"net.ipv4.conf.eth0.mtu\" must be supplied using driver option 'com.docker.network.endpoint.sysctls'"},
		{"sysctl, eth1", host(`{"Sysctls":{"net.ipv4.conf.eth1.mtu":"1"}}`), 47, "unable to determine network endpoint for sysctl net.ipv4.conf.eth1.mtu, use driver option 'com.docker.network.endpoint.sysctls' to set per-interface sysctls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(t, c.body).convert(api.V1(c.at))
			if err == nil || err.Error() != c.want || !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestCreateConverted(t *testing.T) {
	mounts := func(b *createBody) any { return b.HostConfig.Mounts }
	endpoints := func(b *createBody) any {
		out := map[string]string{}
		for name, ep := range b.NetworkingConfig.EndpointsConfig {
			out[name] = strings.Trim(ep.MacAddress.String()+" "+ep.DriverOpts[endpointSysctls], " ")
		}
		return out
	}
	for _, c := range []struct {
		name, body string
		at         uint16
		look       func(*createBody) any
		want       string
	}{
		{"default network", `{"Image":"a","HostConfig":{"NetworkMode":"default"},"NetworkingConfig":{"EndpointsConfig":{"default":{}}}}`, 55,
			func(b *createBody) any { return []any{b.HostConfig.NetworkMode, endpoints(b)} }, `["bridge",{"bridge":""}]`},
		{"no limit", `{"Image":"a","HostConfig":{"PidsLimit":-1}}`, 55, func(b *createBody) any { return b.HostConfig.PidsLimit }, `null`},
		{"limit", `{"Image":"a","HostConfig":{"PidsLimit":5}}`, 55, func(b *createBody) any { return b.HostConfig.PidsLimit }, `5`},
		{"wrong options, old", `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","VolumeOptions":{}}]}}`, 41, mounts, `[{"Type":"bind"}]`},
		{"bind options, oldest", `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","BindOptions":{"NonRecursive":true,"CreateMountpoint":true}}]}}`, 39, mounts, `[{"Type":"bind","BindOptions":{}}]`},
		{"bind options, old", `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","BindOptions":{"NonRecursive":true,"CreateMountpoint":true}}]}}`, 41, mounts, `[{"Type":"bind","BindOptions":{"NonRecursive":true}}]`},
		{"read-only, old", `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true}]}}`, 43, mounts, `[{"Type":"bind","ReadOnly":true}]`},
		{"read-only with options, old", `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true,"BindOptions":{}}]}}`, 43, mounts, `[{"Type":"bind","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}}]`},
		{"read-only", `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true}]}}`, 44, mounts, `[{"Type":"bind","ReadOnly":true}]`},
		{"IPC, old", `{"Image":"a"}`, 39, func(b *createBody) any { return b.HostConfig.IpcMode }, `"shareable"`},
		{"IPC", `{"Image":"a"}`, 40, func(b *createBody) any { return b.HostConfig.IpcMode }, `""`},
		{"console, old", `{"Image":"a","HostConfig":{"ConsoleSize":[1,2]}}`, 41, func(b *createBody) any { return b.HostConfig.ConsoleSize }, `[0,0]`},
		{"console", `{"Image":"a","HostConfig":{"ConsoleSize":[1,2]}}`, 42, func(b *createBody) any { return b.HostConfig.ConsoleSize }, `[1,2]`},
		{"annotations, old", `{"Image":"a","HostConfig":{"Annotations":{"a":"b"}}}`, 42, func(b *createBody) any { return b.HostConfig.Annotations }, `null`},
		{"start interval, old", `{"Image":"a","Healthcheck":{"StartInterval":5}}`, 43, func(b *createBody) any { return b.Healthcheck }, `{}`},
		{"start interval", `{"Image":"a","Healthcheck":{"StartInterval":5}}`, 44, func(b *createBody) any { return b.Healthcheck }, `{"StartInterval":5}`},
		{"priority, old", `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"x":{"GwPriority":5}}}}`, 47, func(b *createBody) any { return b.NetworkingConfig.EndpointsConfig["x"].GwPriority }, `0`},
		{"priority", `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"x":{"GwPriority":5}}}}`, 48, func(b *createBody) any { return b.NetworkingConfig.EndpointsConfig["x"].GwPriority }, `5`},
		{"MAC, old", `{"Image":"a","MacAddress":"02:00:00:00:00:01"}`, 43, endpoints, `{"bridge":"02:00:00:00:00:01"}`},
		{"MAC, old, the only network", `{"Image":"a","MacAddress":"02:00:00:00:00:01","NetworkingConfig":{"EndpointsConfig":{"x":{}}}}`, 43, endpoints, `{"x":"02:00:00:00:00:01"}`},
		{"endpoint's MAC, old", `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"x":{"MacAddress":"02:00:00:00:00:01"}}}}`, 43, endpoints, `{"x":""}`},
		{"MAC", `{"Image":"a","MacAddress":"02:00:00:00:00:01"}`, 52, endpoints, `{}`},
		{"nonsense MAC is not read", `{"Image":"a","MacAddress":7}`, 52, endpoints, `{}`},
		{"sysctl, old", `{"Image":"a","HostConfig":{"Sysctls":{"net.ipv4.conf.eth0.b":"1","net.ipv4.conf.eth0.a":"2","net.core.x":"3"}}}`, 47,
			func(b *createBody) any { return []any{endpoints(b), b.HostConfig.Sysctls} },
			`[{"bridge":"net.ipv4.conf.IFNAME.a=2,net.ipv4.conf.IFNAME.b=1"},{"net.core.x":"3"}]`},
		{"empty bindings", `{"Image":"a","HostConfig":{"PortBindings":{"80/tcp":[]}}}`, 51, func(b *createBody) any { return b.HostConfig.PortBindings }, `{"80/tcp":[{"HostIp":"","HostPort":""}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := decode(t, c.body)
			if _, err := b.convert(api.V1(c.at)); err != nil {
				t.Fatal(err)
			}
			if got := compact(t, c.look(b)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestCreateCgroupNamespace(t *testing.T) {
	want := container.CgroupnsModeHost
	if cgroups.Mode() == cgroups.Unified {
		want = ""
	}
	b := decode(t, `{"Image":"a"}`)
	if _, err := b.convert(api.V1(40)); err != nil || b.HostConfig.CgroupnsMode != want {
		t.Errorf("%q %v, want %q", b.HostConfig.CgroupnsMode, err, want)
	}
}

func TestCreateWarnings(t *testing.T) {
	const body = `{"Image":"a","MacAddress":"02:00:00:00:00:01","HostConfig":{"VolumeDriver":"x","Mounts":[{"Type":"volume"}],"PortBindings":{"81/tcp":[],"80/tcp":[]}}}`
	for at, want := range map[uint16][]string{
		43: nil,
		47: {"The container-wide MacAddress field is now deprecated."},
		51: {"WARNING: the container-wide volume-driver", "The container-wide MacAddress field is now deprecated."},
		52: {"WARNING: the container-wide volume-driver", "Following container port(s) have an empty list of port-bindings: 80/tcp, 81/tcp."},
	} {
		warnings, err := decode(t, body).convert(api.V1(at))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(warnings, want, strings.HasPrefix) {
			t.Errorf("1.%d: %q, want %q", at, warnings, want)
		}
	}
}

// FuzzCreate: no body makes the conversion panic, and what it lets through has
// nothing nil that the engine would follow.
func FuzzCreate(f *testing.F) {
	f.Add(uint16(24), `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind"}],"Sysctls":{"net.a.b.eth0.c":"d"}},"NetworkingConfig":{"EndpointsConfig":{"a":null}},"MacAddress":"02:00:00:00:00:01"}`)
	f.Add(uint16(55), `{"HostConfig":null,"Cmd":null}`)
	f.Fuzz(func(t *testing.T, at uint16, body string) {
		b := &createBody{}
		if json.Unmarshal([]byte(body), b) != nil {
			return
		}
		if _, err := b.convert(api.V1(24 + at%32)); err != nil {
			return
		}
		if b.Config == nil || b.HostConfig == nil || b.NetworkingConfig == nil {
			t.Fatal("nil passed")
		}
		for name, ep := range b.NetworkingConfig.EndpointsConfig {
			if ep == nil {
				t.Fatalf("endpoint %s is nil", name)
			}
		}
	})
}
