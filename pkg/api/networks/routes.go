package networks

import "github.com/berth-engine/berth/pkg/api"

type handlers struct {
	backend    Backend
	containers Containers
}

// Routes serves networks and the containers on them.
func Routes(b Backend, c Containers) []api.Route {
	h := handlers{b, c}
	return []api.Route{
		{Operation: "NetworkList", Handler: h.list},
		{Operation: "NetworkInspect", Handler: h.inspect},
		{Operation: "NetworkCreate", Handler: h.create},
		{Operation: "NetworkDelete", Handler: h.remove},
		{Operation: "NetworkPrune", Handler: h.prune},
		{Operation: "NetworkConnect", Handler: h.connect},
		{Operation: "NetworkDisconnect", Handler: h.disconnect},
	}
}
