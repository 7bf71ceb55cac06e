package system

import (
	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"
)

// convertInfo gives the daemon's information the shape of version v.
func convertInfo(i system.Info, v api.Version) any {
	if v < api.V1(44) {
		runtimes := make(map[string]system.RuntimeWithStatus, len(i.Runtimes))
		for name, rt := range i.Runtimes {
			runtimes[name] = system.RuntimeWithStatus{Runtime: rt.Runtime}
		}
		i.Runtimes = runtimes
	}
	if v < api.V1(46) {
		i.Containerd = nil
	}
	if v < api.V1(53) {
		i.NRI = nil
	}
	if v >= api.V1(50) {
		return i
	}
	i.DiscoveredDevices = nil
	extra := api.Fields{"BridgeNfIptables": false, "BridgeNfIp6tables": false}
	if v < api.V1(49) {
		i.FirewallBackend = nil
		extra["ContainerdCommit"] = api.Fields{"Expected": i.ContainerdCommit.ID}
		extra["RuncCommit"] = api.Fields{"Expected": i.RuncCommit.ID}
		extra["InitCommit"] = api.Fields{"Expected": i.InitCommit.ID}
		extra["RegistryConfig"] = api.Fields{
			"AllowNondistributableArtifactsCIDRs":     nil,
			"AllowNondistributableArtifactsHostnames": nil,
		}
	}
	return api.WithFields(i, extra)
}

// hasEvent says whether version v knows the event: images' create came in 1.46.
func hasEvent(m events.Message, v api.Version) bool {
	return v >= api.V1(46) || m.Type != events.ImageEventType || m.Action != events.ActionCreate
}

// convertEvent adds the fields from before API 1.22, which Docker sent until
// 1.52 and without which old CLIs crash.
func convertEvent(m events.Message, v api.Version) any {
	if v >= api.V1(52) {
		return m
	}
	extra := api.Fields{"id": m.Actor.ID, "status": m.Action}
	switch m.Type {
	case events.ContainerEventType:
		extra["from"] = m.Actor.Attributes["image"]
	case events.ImageEventType:
	default:
		return m
	}
	return api.WithFields(m, extra)
}
