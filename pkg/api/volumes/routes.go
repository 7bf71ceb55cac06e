package volumes

import "github.com/berth-engine/berth/pkg/api"

type handlers struct{ backend Backend }

// Routes are the operations on volumes.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "VolumeList", Handler: h.list},
		{Operation: "VolumeInspect", Handler: h.inspect},
		{Operation: "VolumeCreate", Handler: h.create},
		{Operation: "VolumeDelete", Handler: h.remove},
		{Operation: "VolumeUpdate", Handler: update, Declined: "it is for cluster volumes, and there is no swarm mode"},
		{Operation: "VolumePrune", Handler: h.prune},
	}
}

type backupHandlers struct{ backend Backups }

// BackupRoutes are Berth's own operations on whole volumes.
func BackupRoutes(b Backups) []api.Route {
	h := backupHandlers{b}
	return []api.Route{
		{Operation: "BerthVolumeExport", Handler: h.export, Streams: true},
		{Operation: "BerthVolumeImport", Handler: h.importTar, Streams: true},
		{Operation: "BerthVolumeSnapshot", Handler: h.snapshot},
		{Operation: "BerthVolumeRestore", Handler: h.restore},
	}
}
