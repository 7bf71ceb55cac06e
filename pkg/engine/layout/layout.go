// Package layout says where containers keep their files.
package layout

import (
	"path/filepath"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/streams"
)

// Layout is the roots that everything is below.
type Layout struct {
	Data string // outlives a reboot
	Run  string // does not
}

// Containers holds the containers' folders.
func (l Layout) Containers() string { return filepath.Join(l.Data, "containers") }

// Dir is the container's folder.
func (l Layout) Dir(id string) string { return filepath.Join(l.Containers(), id) }

// Sockets holds the stream sockets.
func (l Layout) Sockets() string { return filepath.Join(l.Run, "io") }

// Socket is the container's stream socket.
func (l Layout) Socket(id string) string { return filepath.Join(l.Sockets(), id+".sock") }

// LogPath is the path that inspect shows: of the driver that others read too.
func (l Layout) LogPath(r *container.Record) string {
	if r.HostConfig.LogConfig.Type != logs.JSONFile {
		return ""
	}
	return l.Log(r).Path
}

// Log names the container's log.
func (l Layout) Log(r *container.Record) streams.Log {
	c := r.HostConfig.LogConfig
	return streams.Log{Driver: c.Type, Options: c.Config, Path: logs.Path(l.Dir(r.ID), r.ID, c.Type, c.Config)}
}
