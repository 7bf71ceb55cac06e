// Package query answers questions about containers from memory: the list with
// its filters, and inspect.
package query

import (
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
)

// Paths are where a container's files are.
type Paths struct {
	Dir string // holds hostname, hosts and resolv.conf
	Log string // "" when its driver keeps no file
}

// Inspect tells everything about a container; execs are the IDs of its execs.
// links are those of its HostConfig as Docker shows them.
func Inspect(v *unit.View, p Paths, execs, links []string) ctypes.InspectResponse {
	r := v.Record
	hc := *r.HostConfig
	hc.Links = links
	return ctypes.InspectResponse{
		ID:              r.ID,
		Created:         r.Created.UTC().Format(time.RFC3339Nano),
		Path:            r.Path,
		Args:            r.Args,
		State:           v.Status.API(),
		Image:           r.Image,
		ResolvConfPath:  filepath.Join(p.Dir, "resolv.conf"),
		HostnamePath:    filepath.Join(p.Dir, "hostname"),
		HostsPath:       filepath.Join(p.Dir, "hosts"),
		LogPath:         p.Log,
		Name:            "/" + r.Name,
		RestartCount:    v.Status.RestartCount,
		Driver:          r.Driver,
		Platform:        r.Platform.OS,
		ExecIDs:         execs,
		HostConfig:      &hc,
		Storage:         &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: r.Driver}}},
		Mounts:          r.Mounts,
		Config:          r.Config,
		NetworkSettings: settings(v),

		ImageManifestDescriptor: r.Manifest,
	}
}

// settings is the network part of inspect: as made while it runs, as asked for
// otherwise.
func settings(v *unit.View) *ctypes.NetworkSettings {
	s := v.Status.Sandbox
	out := &ctypes.NetworkSettings{SandboxKey: s.Key, Ports: network.PortMap{}, Networks: endpoints(v)}
	if s.Key != "" {
		out.SandboxID = v.Record.ID
	}
	if v.Status.Live() {
		for port := range v.Record.Config.ExposedPorts {
			out.Ports[port] = nil
		}
		maps.Copy(out.Ports, s.Ports)
	}
	return out
}

// endpoints are the networks, with addresses while it runs.
func endpoints(v *unit.View) map[string]*network.EndpointSettings {
	if len(v.Status.Sandbox.Endpoints) > 0 {
		return v.Status.Sandbox.Endpoints
	}
	if v.Record.Endpoints == nil {
		return map[string]*network.EndpointSettings{}
	}
	return v.Record.Endpoints
}

// ports lists a container's ports as ps shows them: published ones with their
// host address, exposed ones without.
func ports(v *unit.View) []ctypes.PortSummary {
	out := []ctypes.PortSummary{}
	if !v.Status.Live() {
		return out
	}
	for port, bindings := range settings(v).Ports {
		base := ctypes.PortSummary{PrivatePort: port.Num(), Type: string(port.Proto())}
		if len(bindings) == 0 {
			out = append(out, base)
		}
		for _, b := range bindings {
			p := base
			p.IP, p.PublicPort = b.HostIP, hostPort(b)
			out = append(out, p)
		}
	}
	return out
}

func hostPort(b network.PortBinding) uint16 {
	p, err := network.ParsePort(b.HostPort)
	if err != nil {
		return 0
	}
	return p.Num()
}

// commandLine is what ps shows: the path and its arguments, in quotes where they
// have spaces.
func commandLine(r *container.Record) string {
	line := r.Path
	for _, a := range r.Args {
		if strings.Contains(a, " ") {
			a = "'" + a + "'"
		}
		line += " " + a
	}
	return line
}
