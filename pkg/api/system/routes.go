package system

import "github.com/berth-engine/berth/pkg/api"

type handlers struct {
	backend Backend
	ping    Ping
}

// Routes serves a backend.
func Routes(b Backend, p Ping) []api.Route {
	h := handlers{b, p}
	return []api.Route{
		{Operation: "SystemPing", Handler: h.getPing},
		{Operation: "SystemPingHead", Handler: h.getPing},
		{Operation: "SystemVersion", Handler: h.getVersion},
		{Operation: "SystemInfo", Handler: h.getInfo},
		{Operation: "SystemDataUsage", Handler: h.getUsage},
		{Operation: "SystemEvents", Handler: h.getEvents, Streams: true},
	}
}
