package networks

import "github.com/berth-engine/berth/pkg/api"

type handlers struct{ backend Backend }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "NetworkList", Handler: h.list},
		{Operation: "NetworkInspect", Handler: h.inspect},
		{Operation: "NetworkCreate", Handler: h.create},
		{Operation: "NetworkDelete", Handler: h.remove},
		{Operation: "NetworkPrune", Handler: h.prune},
	}
}
