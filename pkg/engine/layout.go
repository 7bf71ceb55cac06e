package engine

import (
	"path/filepath"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/streams"
)

// layout says where containers keep their files.
type layout struct {
	data string // Config.DataRoot
	run  string // Config.ExecRoot
}

// containers holds the containers' folders.
func (l layout) containers() string { return filepath.Join(l.data, "containers") }

// dir is the container's folder.
func (l layout) dir(id string) string { return filepath.Join(l.containers(), id) }

// sockets holds the stream sockets.
func (l layout) sockets() string { return filepath.Join(l.run, "io") }

// socket is the container's stream socket.
func (l layout) socket(id string) string { return filepath.Join(l.sockets(), id+".sock") }

// logPath is the path that inspect shows: of drivers that keep a file.
func (l layout) logPath(r *container.Record) string {
	if r.HostConfig.LogConfig.Type != "json-file" {
		return ""
	}
	return filepath.Join(l.dir(r.ID), r.ID+"-json.log")
}

// logOf names the container's log.
func (l layout) logOf(r *container.Record) streams.Log {
	c := r.HostConfig.LogConfig
	return streams.Log{Driver: c.Type, Options: c.Config, Path: l.logPath(r)}
}

// streams describes to the shim what to do with the container's output.
func (l layout) streams(r *container.Record) streams.Config {
	log := l.logOf(r)
	log.Attrs, _ = logAttrs(r) // checked by create
	return streams.Config{
		ID:        r.ID,
		Socket:    l.socket(r.ID),
		Tty:       r.Config.Tty,
		Stdin:     r.Config.OpenStdin,
		StdinOnce: r.Config.StdinOnce,
		Log:       log,
	}
}
