package containers

import "github.com/berth-engine/berth/pkg/api"

type handlers struct{ backend Backend }

// streamHandlers are those whose answers are streams of a container.
type streamHandlers struct{ backend Streamer }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h, s, c := handlers{b}, streamHandlers{b.Streamer}, checkpointHandlers{b.Checkpoints}
	return []api.Route{
		{Operation: "ContainerList", Handler: h.list},
		{Operation: "ContainerCreate", Handler: h.create},
		{Operation: "ContainerInspect", Handler: h.inspect},
		{Operation: "ContainerTop", Handler: h.top},
		{Operation: "ContainerStats", Handler: h.stats, Streams: true},
		{Operation: "ContainerLogs", Handler: s.logs, Streams: true},
		{Operation: "ContainerResize", Handler: s.resize},
		{Operation: "ContainerStart", Handler: h.start},
		{Operation: "ContainerStop", Handler: h.stop},
		{Operation: "ContainerRestart", Handler: h.restart},
		{Operation: "ContainerKill", Handler: h.kill},
		{Operation: "ContainerRename", Handler: h.rename},
		{Operation: "ContainerPause", Handler: h.pause},
		{Operation: "ContainerUnpause", Handler: h.unpause},
		{Operation: "ContainerAttach", Handler: s.attach, Streams: true},
		{Operation: "ContainerAttachWebsocket", Handler: s.attachWebSocket, Streams: true},
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
		{Operation: "CheckpointCreate", Handler: c.create},
		{Operation: "CheckpointList", Handler: c.list},
		{Operation: "CheckpointDelete", Handler: c.remove},
	}
}
