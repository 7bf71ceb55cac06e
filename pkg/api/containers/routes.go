package containers

import "github.com/berth-engine/berth/pkg/api"

type handlers struct{ backend Backend }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "ContainerList", Handler: h.list},
		{Operation: "ContainerCreate", Handler: h.create},
		{Operation: "ContainerInspect", Handler: h.inspect},
		{Operation: "ContainerTop", Handler: h.top},
		{Operation: "ContainerStats", Handler: h.stats, Streams: true},
		{Operation: "ContainerLogs", Handler: h.logs, Streams: true},
		{Operation: "ContainerResize", Handler: h.resize},
		{Operation: "ContainerStart", Handler: h.start},
		{Operation: "ContainerStop", Handler: h.stop},
		{Operation: "ContainerRestart", Handler: h.restart},
		{Operation: "ContainerKill", Handler: h.kill},
		{Operation: "ContainerRename", Handler: h.rename},
		{Operation: "ContainerPause", Handler: h.pause},
		{Operation: "ContainerUnpause", Handler: h.unpause},
		{Operation: "ContainerAttach", Handler: h.attach, Streams: true},
		{Operation: "ContainerAttachWebsocket", Handler: h.attachWebSocket, Streams: true},
		{Operation: "ContainerWait", Handler: h.wait, Streams: true},
		{Operation: "ContainerUpdate", Handler: h.update},
		{Operation: "ContainerDelete", Handler: h.remove},
		{Operation: "ContainerPrune", Handler: h.prune},
		{Operation: "ContainerArchiveInfo", Handler: h.statPath},
		{Operation: "ContainerArchive", Handler: h.readArchive, Streams: true},
		{Operation: "PutContainerArchive", Handler: h.writeArchive, Streams: true},
		{Operation: "ContainerExport", Handler: h.export, Streams: true},
		{Operation: "ContainerChanges", Handler: h.changes},
		{Operation: "ImageCommit", Handler: h.commit},
	}
}
