package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Each version tells the fields that Docker's does (docs/CHANGELOG.md of
// github.com/moby/moby/api): no fewer, and none that came later or was taken away.
func TestFieldsOfVersions(t *testing.T) {
	const oldest, newest = 24, 55
	s := newServer(t, newFakes().routes())
	for _, f := range []struct {
		target, field string // "[]" is the first of a list
		from, to      int    // minor versions
	}{
		{"/containers/json", "[].Names", oldest, newest},
		{"/containers/json", "[].HostConfig.Annotations", 46, newest},
		{"/containers/json", "[].ImageManifestDescriptor", 48, newest},
		{"/containers/json", "[].Health", 52, newest},
		{"/containers/json", "[].Ports.[].IP", 52, newest}, // of a port that is not published

		{"/containers/web/json", "Config.OnBuild", oldest, 51},
		{"/containers/web/json", "GraphDriver.Name", oldest, 51},
		{"/containers/web/json", "Storage", 52, newest},
		{"/containers/web/json", "ImageManifestDescriptor", 48, newest},
		{"/containers/web/json", "NetworkSettings.Ports", oldest, newest},
		{"/containers/web/json", "NetworkSettings.Bridge", oldest, 51},
		{"/containers/web/json", "NetworkSettings.HairpinMode", oldest, 51},
		{"/containers/web/json", "NetworkSettings.LinkLocalIPv6Address", oldest, 51},
		{"/containers/web/json", "NetworkSettings.SecondaryIPAddresses", oldest, 51},
		{"/containers/web/json", "NetworkSettings.EndpointID", oldest, 51},
		{"/containers/web/json", "NetworkSettings.IPAddress", oldest, 51},
		{"/containers/web/json", "NetworkSettings.IPv6Gateway", oldest, 51},
		{"/containers/web/json", "NetworkSettings.MacAddress", oldest, 51},

		{"/images/json", "[].Containers", oldest, newest},
		{"/images/json", "[].VirtualSize", oldest, 43},
		{"/images/json", "[].Descriptor", 48, newest},

		{"/images/busybox/json", "VirtualSize", oldest, 43},
		{"/images/busybox/json", "Container", oldest, 44},
		{"/images/busybox/json", "ContainerConfig", oldest, 44},
		{"/images/busybox/json", "Config.Hostname", oldest, 49},
		{"/images/busybox/json", "Config.Tty", oldest, 49},
		{"/images/busybox/json", "Config.Entrypoint", oldest, 51},
		{"/images/busybox/json", "Parent", oldest, 51},
		{"/images/busybox/json", "DockerVersion", oldest, 51},
		{"/images/busybox/json", "Author", oldest, 51},
		{"/images/busybox/json", "GraphDriver", oldest, 51},
		{"/images/busybox/json", "Descriptor", 48, newest},
		{"/images/busybox/json", "Identity", 53, newest},

		{"/info", "Runtimes.runc.status", 44, newest},
		{"/info", "Containerd", 46, newest},
		{"/info", "ContainerdCommit.Expected", oldest, 48},
		{"/info", "RegistryConfig.AllowNondistributableArtifactsCIDRs", oldest, 48},
		{"/info", "FirewallBackend", 49, newest},
		{"/info", "BridgeNfIptables", oldest, 49},
		{"/info", "DiscoveredDevices", 50, newest},
		{"/info", "NRI", 53, newest},

		{"/networks/bridge", "Containers", oldest, newest},
		{"/networks/bridge", "Status", 52, newest},

		{"/system/df", "LayersSize", oldest, 51},
		{"/system/df", "Images", oldest, 51},
		{"/system/df", "BuilderSize", oldest, 41},
		{"/system/df", "ImageUsage.TotalSize", 52, newest},
		{"/system/df?verbose=1", "ImageUsage.Items", 52, newest},

		{"/events?until=1", "Actor.Attributes.image", oldest, newest},
		{"/events?until=1", "status", oldest, 51},
		{"/events?until=1", "id", oldest, 51},
		{"/events?until=1", "from", oldest, 51},
	} {
		for minor := oldest; minor <= newest; minor++ {
			target := fmt.Sprintf("/v1.%d%s", minor, f.target)
			_, body := do(t, s, "GET", target, "")
			var value any
			if err := json.NewDecoder(strings.NewReader(body)).Decode(&value); err != nil {
				t.Fatalf("%s: %v: %s", target, err, body)
			}
			if has, want := tells(value, strings.Split(f.field, ".")), f.from <= minor && minor <= f.to; has != want {
				t.Errorf("%s tells %s: %v, want %v", target, f.field, has, want)
			}
		}
	}
}

// tells says whether a value has a field.
func tells(value any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	switch v := value.(type) {
	case []any:
		return path[0] == "[]" && len(v) > 0 && tells(v[0], path[1:])
	case map[string]any:
		below, ok := v[path[0]]
		return ok && tells(below, path[1:])
	}
	return false
}
