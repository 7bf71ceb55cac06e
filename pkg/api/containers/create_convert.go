package containers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/containerd/cgroups/v3"
	"github.com/containerd/platforms"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// createBody is the body of a create request in any API version.
type createBody struct {
	container.CreateRequest
	// MacAddress of the container, up to API 1.51; a network's endpoint has it since.
	MacAddress json.RawMessage
}

// convert makes the request one of the newest API version with the meaning
// that it has in version v. The warnings go into the answer.
func (b *createBody) convert(v api.Version) (warnings []string, err error) {
	if err := b.normalize(); err != nil {
		return nil, err
	}
	if err := b.convertMounts(v); err != nil {
		return nil, err
	}
	b.convertHost(v)
	if err := b.convertEndpoints(v); err != nil {
		return nil, err
	}
	for _, step := range []func(api.Version) (string, error){b.volumeDriver, b.macAddress, b.interfaceSysctls, b.emptyPortBindings} {
		warning, err := step(v)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings, nil
}

// normalize fills in what a body may leave out, so that what is below is not nil.
func (b *createBody) normalize() error {
	if b.Config == nil {
		return api.Invalid("config cannot be empty in order to create a container")
	}
	if b.HostConfig == nil {
		b.HostConfig = &container.HostConfig{}
	}
	if b.NetworkingConfig == nil {
		b.NetworkingConfig = &network.NetworkingConfig{}
	}
	endpoints := b.NetworkingConfig.EndpointsConfig // of which some may be nil: the engine has words for that
	if endpoints == nil {
		endpoints = map[string]*network.EndpointSettings{}
	}
	// "default" is every platform's word for its own default network.
	if mode := b.HostConfig.NetworkMode; mode == "" || mode.IsDefault() {
		b.HostConfig.NetworkMode = network.NetworkBridge
		if ep, ok := endpoints[network.NetworkDefault]; ok {
			endpoints[network.NetworkBridge] = ep
			delete(endpoints, network.NetworkDefault)
		}
	}
	b.NetworkingConfig.EndpointsConfig = endpoints
	// 0 and less are how clients say that there is no limit.
	if p := b.HostConfig.PidsLimit; p != nil && *p <= 0 {
		b.HostConfig.PidsLimit = nil
	}
	return nil
}

// convertMounts: options of mounts, each ignored or refused before the version
// that brought it, as Docker does either.
func (b *createBody) convertMounts(v api.Version) error {
	for i := range b.HostConfig.Mounts {
		m := &b.HostConfig.Mounts[i]
		if err := convertMount(m, v); err != nil {
			return err
		}
	}
	return nil
}

func convertMount(m *mount.Mount, v api.Version) error {
	if err := mismatchedOptions(m, v); err != nil {
		return err
	}
	if o := m.BindOptions; o != nil {
		if v < api.V1(40) {
			o.NonRecursive = false
		}
		if v < api.V1(42) {
			o.CreateMountpoint = false
		}
		if v < api.V1(44) && o.ReadOnlyForceRecursive {
			return api.Invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
		}
	}
	if v < api.V1(44) && m.Type == mount.TypeBind && m.ReadOnly && m.BindOptions != nil {
		m.BindOptions.ReadOnlyNonRecursive = true // it is so without them, too, but Docker shows it here alone
	}
	if v < api.V1(45) && m.VolumeOptions != nil && m.VolumeOptions.Subpath != "" {
		return api.Invalid("VolumeOptions.Subpath needs API v1.45 or newer")
	}
	if v < api.V1(48) && m.Type == mount.TypeImage {
		return api.Invalid(`Mount type "Image" needs API v1.48 or newer`)
	}
	return nil
}

// mismatchedOptions: options for another type of mount are an error since API
// 1.42, and were ignored before.
func mismatchedOptions(m *mount.Mount, v api.Version) error {
	for _, o := range []struct {
		name string
		set  bool
		of   mount.Type
		drop func()
	}{
		{"VolumeOptions", m.VolumeOptions != nil, mount.TypeVolume, func() { m.VolumeOptions = nil }},
		{"BindOptions", m.BindOptions != nil, mount.TypeBind, func() { m.BindOptions = nil }},
		{"TmpfsOptions", m.TmpfsOptions != nil, mount.TypeTmpfs, func() { m.TmpfsOptions = nil }},
	} {
		if !o.set || m.Type == o.of {
			continue
		}
		if v >= api.V1(42) {
			return api.Invalid("%s must not be specified on mount type %q", o.name, m.Type)
		}
		o.drop()
	}
	return nil
}

// convertHost: fields that are ignored, or had another default, before the
// version that brought them.
func (b *createBody) convertHost(v api.Version) {
	h := b.HostConfig
	if v < api.V1(40) && h.IpcMode.IsEmpty() {
		h.IpcMode = container.IPCModeShareable
	}
	if v < api.V1(41) && h.CgroupnsMode.IsEmpty() && cgroups.Mode() != cgroups.Unified {
		h.CgroupnsMode = container.CgroupnsModeHost
	}
	if v < api.V1(42) {
		h.ConsoleSize = [2]uint{}
	}
	if v < api.V1(43) {
		h.Annotations = nil
	}
	if v < api.V1(44) && b.Config.Healthcheck != nil {
		b.Config.Healthcheck.StartInterval = 0
	}
}

// convertEndpoints: several networks at once came in API 1.44, their order of
// preference in 1.48.
func (b *createBody) convertEndpoints(v api.Version) error {
	endpoints := b.NetworkingConfig.EndpointsConfig
	if v < api.V1(44) && len(endpoints) > 1 {
		return api.Invalid("Container cannot be created with multiple network endpoints: %s", strings.Join(slices.Sorted(maps.Keys(endpoints)), ", "))
	}
	if v < api.V1(48) {
		for _, ep := range endpoints {
			if ep != nil {
				ep.GwPriority = 0
			}
		}
	}
	return nil
}

// createPlatform: the parameter came in API 1.41.
func createPlatform(r *api.Request) (*ocispec.Platform, error) {
	s := r.Query.Get("platform")
	if s == "" || r.Version < api.V1(41) {
		return nil, nil
	}
	p, err := platforms.Parse(s)
	if err != nil {
		return nil, api.Invalid("%v", err)
	}
	return &p, nil
}

// volumeDriver warns, since API 1.48, of a driver that has no effect; older
// clients do so themselves.
func (b *createBody) volumeDriver(v api.Version) (string, error) {
	if b.HostConfig.VolumeDriver == "" || v < api.V1(48) {
		return "", nil
	}
	for _, m := range b.HostConfig.Mounts {
		own := m.VolumeOptions != nil && m.VolumeOptions.DriverConfig != nil && m.VolumeOptions.DriverConfig.Name != ""
		if m.Type == mount.TypeVolume && !own {
			return "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead", nil
		}
	}
	return "", nil
}

// macAddress moves the container's own address, which API 1.52 ignores, to the
// endpoint of its main network. Up to 1.43 endpoints had none.
func (b *createBody) macAddress(v api.Version) (string, error) {
	if v >= api.V1(52) {
		return "", nil
	}
	var mac network.HardwareAddr
	if len(b.MacAddress) > 0 {
		if err := json.Unmarshal(b.MacAddress, &mac); err != nil {
			return "", api.Invalid("invalid MAC address: %v", err)
		}
	}
	if v < api.V1(44) {
		for _, ep := range b.NetworkingConfig.EndpointsConfig {
			if ep != nil {
				ep.MacAddress = nil
			}
		}
	}
	if len(mac) == 0 {
		return "", nil
	}
	mode := b.HostConfig.NetworkMode
	if mode.IsBridge() || mode.IsUserDefined() {
		ep, err := b.mainEndpoint(v)
		switch {
		case err != nil:
			return "", fmt.Errorf("unable to migrate container-wide MAC address to a specific network: %w", err)
		case len(ep.MacAddress) == 0:
			ep.MacAddress = mac
		case !slices.Equal(ep.MacAddress, mac):
			return "", api.Invalid("the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty")
		}
	} else if v < api.V1(44) {
		return "", api.Invalid("conflicting options: mac-address and the network mode")
	}
	if v < api.V1(44) {
		return "", nil
	}
	return "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.", nil
}

// endpointSysctls is the driver option that holds sysctls of an endpoint's
// interface, comma separated, with IFNAME for its name.
const endpointSysctls = "com.docker.network.endpoint.sysctls"

// interfaceSysctls moves sysctls that name eth0 to the endpoint of the main
// network, since the interface's name is not known in advance. From API 1.48
// on clients must say it there themselves.
func (b *createBody) interfaceSysctls(v api.Version) (string, error) {
	if !b.HostConfig.NetworkMode.IsPrivate() {
		return "", nil
	}
	var moved, settings []string
	for _, key := range slices.Sorted(maps.Keys(b.HostConfig.Sysctls)) {
		part := strings.SplitN(key, ".", 5)
		if len(part) < 5 || part[0] != "net" || !strings.HasPrefix(part[3], "eth") {
			continue
		}
		if v >= api.V1(48) {
			return "", api.Invalid("interface specific sysctl setting %q must be supplied using driver option '%s'", key, endpointSysctls)
		}
		if part[3] != "eth0" {
			return "", api.Invalid("unable to determine network endpoint for sysctl %s, use driver option '%s' to set per-interface sysctls", key, endpointSysctls)
		}
		moved = append(moved, key)
		settings = append(settings, fmt.Sprintf("net.%s.%s.IFNAME.%s=%s", part[1], part[2], part[4], b.HostConfig.Sysctls[key]))
	}
	if len(moved) == 0 {
		return "", nil
	}
	ep, err := b.mainEndpoint(v)
	if err != nil {
		return "", fmt.Errorf("unable to find a network for sysctl %s: %w", moved[0], err)
	}
	option := strings.Join(settings, ",")
	warning := fmt.Sprintf("Migrated sysctl %q to DriverOpts{%q:%q}.", strings.Join(moved, ","), endpointSysctls, option)
	if have, ok := ep.DriverOpts[endpointSysctls]; ok {
		option += "," + have // the endpoint's own come last, and win
	}
	if ep.DriverOpts == nil {
		ep.DriverOpts = map[string]string{}
	}
	ep.DriverOpts[endpointSysctls] = option
	for _, key := range moved {
		delete(b.HostConfig.Sysctls, key)
	}
	return warning, nil
}

// emptyPortBindings: an empty list publishes the port on any free host port.
// API 1.52 warns that this will end.
func (b *createBody) emptyPortBindings(v api.Version) (string, error) {
	var empty []string
	for port, bindings := range b.HostConfig.PortBindings {
		if len(bindings) > 0 {
			continue
		}
		b.HostConfig.PortBindings[port] = []network.PortBinding{{}}
		empty = append(empty, port.String())
	}
	if len(empty) == 0 || v < api.V1(52) {
		return "", nil
	}
	slices.Sort(empty)
	return fmt.Sprintf("Following container port(s) have an empty list of port-bindings: %s. Such bindings will be discarded in a future version.", strings.Join(empty, ", ")), nil
}

// mainEndpoint finds or makes the endpoint of the network that NetworkMode
// names. Networks have names, IDs and short IDs: when there are endpoints and
// none is called as the mode is, one that is made could double another.
func (b *createBody) mainEndpoint(v api.Version) (*network.EndpointSettings, error) {
	endpoints := b.NetworkingConfig.EndpointsConfig
	name := b.HostConfig.NetworkMode.NetworkName()
	if len(endpoints) == 0 {
		endpoints[name] = &network.EndpointSettings{}
	}
	if _, ok := endpoints[name]; !ok && v < api.V1(44) {
		for only := range endpoints {
			name = only
		}
	}
	switch ep, ok := endpoints[name]; {
	case ok && ep == nil:
		return nil, api.Invalid("invalid config for network %s: EndpointsConfig is nil", name)
	case ok:
		return ep, nil
	}
	return nil, api.Invalid("HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks")
}
