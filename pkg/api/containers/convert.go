package containers

import (
	"slices"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
)

// ConvertList gives a list the shape of version v.
func ConvertList(list []container.Summary, v api.Version) any {
	if list == nil {
		list = []container.Summary{}
	}
	for i := range list {
		convertSummary(&list[i], v)
	}
	if v >= api.V1(52) {
		return list
	}
	old := make([]oldSummary, len(list))
	for i := range list {
		old[i] = oldSummary{Summary: &list[i], Ports: oldPorts(list[i].Ports)}
	}
	return old
}

func convertSummary(c *container.Summary, v api.Version) {
	// Lists and maps are never null in Docker's answer.
	if c.Names == nil {
		c.Names = []string{}
	}
	if c.Ports == nil {
		c.Ports = []container.PortSummary{}
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	if c.Mounts == nil {
		c.Mounts = []container.MountPoint{}
	}
	if v < api.V1(46) {
		c.HostConfig.Annotations = nil
	}
	if v < api.V1(48) {
		c.ImageManifestDescriptor = nil
	}
	if v < api.V1(52) {
		c.Health = nil
	}
}

// oldSummary is a container up to API 1.51, where a port that is not published
// had no IP instead of an empty one.
type oldSummary struct {
	*container.Summary
	Ports []oldPort
}

type oldPort struct {
	IP          string `json:",omitempty"`
	PrivatePort uint16
	PublicPort  uint16 `json:",omitempty"`
	Type        string
}

func oldPorts(ports []container.PortSummary) []oldPort {
	old := make([]oldPort, len(ports))
	for i, p := range ports {
		old[i] = oldPort{PrivatePort: p.PrivatePort, PublicPort: p.PublicPort, Type: p.Type}
		if p.IP.IsValid() {
			old[i].IP = p.IP.String()
		}
	}
	return old
}

// convertInspect gives a container the shape of version v.
func convertInspect(c container.InspectResponse, v api.Version) any {
	if v < api.V1(45) {
		addShortAliases(&c)
	}
	if v < api.V1(48) {
		c.ImageManifestDescriptor = nil
	}
	if v >= api.V1(52) {
		return c
	}
	// Storage took GraphDriver's place for snapshotters in API 1.52.
	if c.GraphDriver == nil && c.Storage != nil && c.Storage.RootFS != nil && c.Storage.RootFS.Snapshot != nil {
		c.GraphDriver = &storage.DriverData{Name: c.Storage.RootFS.Snapshot.Name}
		c.Storage = nil
	}
	extra := api.Fields{"Config": api.Fields{"OnBuild": nil}} // never omitted up to 1.51
	if c.NetworkSettings != nil {
		extra["NetworkSettings"] = oldSettings(c.NetworkSettings.Networks[network.NetworkBridge])
	}
	return api.WithFields(c, extra)
}

// addShortAliases restores the short ID and the hostname among the aliases on
// user-defined networks, where API 1.44 and older had them.
func addShortAliases(c *container.InspectResponse) {
	if c.NetworkSettings == nil {
		return
	}
	short := c.ID[:min(len(c.ID), 12)]
	networks := make(map[string]*network.EndpointSettings, len(c.NetworkSettings.Networks))
	for name, ep := range c.NetworkSettings.Networks {
		networks[name] = ep
		if ep == nil || !container.NetworkMode(name).IsUserDefined() {
			continue
		}
		ep = ep.Copy()
		networks[name] = ep
		add := []string{short}
		if c.Config != nil {
			add = append(add, c.Config.Hostname)
		}
		for _, alias := range add {
			if alias != "" && !slices.Contains(ep.Aliases, alias) {
				ep.Aliases = append(ep.Aliases, alias)
			}
		}
	}
	settings := *c.NetworkSettings
	settings.Networks = networks
	c.NetworkSettings = &settings
}

// oldSettings are the fields that NetworkSettings had until API 1.52: those of the
// default bridge's endpoint, zero without one, and some that nothing ever set.
func oldSettings(ep *network.EndpointSettings) api.Fields {
	if ep == nil {
		ep = &network.EndpointSettings{}
	}
	return api.Fields{
		"Bridge":                 "",
		"HairpinMode":            false,
		"LinkLocalIPv6Address":   "",
		"LinkLocalIPv6PrefixLen": 0,
		"SecondaryIPAddresses":   nil,
		"SecondaryIPv6Addresses": nil,

		"EndpointID":          ep.EndpointID,
		"Gateway":             ep.Gateway,
		"GlobalIPv6Address":   ep.GlobalIPv6Address,
		"GlobalIPv6PrefixLen": ep.GlobalIPv6PrefixLen,
		"IPAddress":           ep.IPAddress,
		"IPPrefixLen":         ep.IPPrefixLen,
		"IPv6Gateway":         ep.IPv6Gateway,
		"MacAddress":          ep.MacAddress,
	}
}
