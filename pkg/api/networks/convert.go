package networks

import (
	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/network"
)

// convertInspect gives a network the shape of version v.
func convertInspect(n network.Inspect, v api.Version) network.Inspect {
	fillNetwork(&n.Network)
	if n.Containers == nil {
		n.Containers = map[string]network.EndpointResource{}
	}
	if v < api.V1(52) {
		n.Status = nil
	}
	return n
}

// fillNetwork: these are never null in Docker's answer.
func fillNetwork(n *network.Network) {
	if n.Options == nil {
		n.Options = map[string]string{}
	}
	if n.Labels == nil {
		n.Labels = map[string]string{}
	}
	if n.IPAM.Config == nil {
		n.IPAM.Config = []network.IPAMConfig{}
	}
}

// convertEndpoint drops what the client's version did not have: an address of
// the hardware came with API 1.44, the order of preference with 1.48.
func convertEndpoint(ep *network.EndpointSettings, v api.Version) {
	if v < api.V1(44) {
		ep.MacAddress = nil
	}
	if v < api.V1(48) {
		ep.GwPriority = 0
	}
}
