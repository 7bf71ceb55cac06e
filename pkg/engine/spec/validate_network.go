package spec

import (
	"github.com/moby/moby/api/types/container"
)

// validateNetwork refuses options that the network mode leaves no place for.
func validateNetwork(cfg *container.Config, hc *container.HostConfig) error {
	if err := validateJoined(cfg, hc); err != nil {
		return err
	}
	if hc.UTSMode.IsHost() && cfg.Hostname != "" {
		return invalid("conflicting options: hostname and the UTS mode")
	}
	if hc.NetworkMode.IsHost() && len(hc.Links) > 0 {
		return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
	}
	return nil
}

// validateJoined does so for the network of another container.
func validateJoined(cfg *container.Config, hc *container.HostConfig) error {
	if hc.NetworkMode != "container" && !hc.NetworkMode.IsContainer() {
		return nil
	}
	switch {
	case hc.NetworkMode.ConnectedContainer() == "":
		return invalid("invalid network mode: invalid container format container:<name|id>")
	case cfg.Hostname != "":
		return invalid("conflicting options: hostname and the network mode")
	case len(hc.Links) > 0:
		return invalid("conflicting options: container type network can't be used with links. This would result in undefined behavior")
	case len(hc.DNS) > 0:
		return invalid("conflicting options: dns and the network mode")
	case len(hc.ExtraHosts) > 0:
		return invalid("conflicting options: custom host-to-IP mapping and the network mode")
	case len(hc.PortBindings) > 0 || hc.PublishAllPorts:
		return invalid("conflicting options: port publishing and the container type network mode")
	case len(cfg.ExposedPorts) > 0:
		return invalid("conflicting options: port exposing and the container type network mode")
	}
	return nil
}
