package exec

import "github.com/berth-engine/berth/pkg/api"

type handlers struct{ backend Backend }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "ContainerExec", Handler: h.create},
		{Operation: "ExecStart", Handler: h.start, Streams: true},
		{Operation: "ExecResize", Handler: h.resize},
		{Operation: "ExecInspect", Handler: h.inspect},
	}
}
