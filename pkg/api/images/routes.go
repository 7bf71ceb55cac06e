package images

import "github.com/berth-engine/berth/pkg/api"

type handlers struct{ backend Backend }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "ImageList", Handler: h.list},
		{Operation: "ImageInspect", Handler: h.inspect},
		{Operation: "ImageAttestations", Handler: h.attestations},
		{Operation: "ImageHistory", Handler: h.history},
		{Operation: "ImageTag", Handler: h.tag},
		{Operation: "ImageDelete", Handler: h.remove},
		{Operation: "ImagePrune", Handler: h.prune},
		{Operation: "ImageCreate", Handler: h.pull, Streams: true},
		{Operation: "ImagePush", Handler: h.push, Streams: true},
		{Operation: "ImageLoad", Handler: h.load, Streams: true},
		{Operation: "ImageGet", Handler: h.saveOne, Streams: true},
		{Operation: "ImageGetAll", Handler: h.saveAll, Streams: true},
	}
}
