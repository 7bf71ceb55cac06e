package engine

import (
	"context"
	"maps"
	"path/filepath"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
)

// Inspect tells everything about a container, from memory. size is not measured
// yet and ignored.
func (e *Engine) Inspect(_ context.Context, ref string, _ bool) (ctypes.InspectResponse, error) {
	u, err := e.units.find(ref)
	if err != nil {
		return ctypes.InspectResponse{}, err
	}
	v := u.view()
	r, dir := v.record, e.dir(u.id)
	return ctypes.InspectResponse{
		ID:              r.ID,
		Created:         r.Created.UTC().Format(time.RFC3339Nano),
		Path:            r.Path,
		Args:            r.Args,
		State:           v.status.API(),
		Image:           r.Image,
		ResolvConfPath:  filepath.Join(dir, "resolv.conf"),
		HostnamePath:    filepath.Join(dir, "hostname"),
		HostsPath:       filepath.Join(dir, "hosts"),
		LogPath:         e.logPath(r),
		Name:            "/" + r.Name,
		RestartCount:    v.status.RestartCount,
		Driver:          r.Driver,
		Platform:        r.Platform.OS,
		ExecIDs:         e.execs.of(u.id),
		HostConfig:      r.HostConfig,
		Storage:         &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: r.Driver}}},
		Mounts:          r.Mounts,
		Config:          r.Config,
		NetworkSettings: settings(v),
	}, nil
}

// settings is the network part of inspect: as made while it runs, as asked for
// otherwise.
func settings(v *view) *ctypes.NetworkSettings {
	s := v.status.Sandbox
	out := &ctypes.NetworkSettings{SandboxKey: s.Key, Ports: network.PortMap{}, Networks: endpoints(v)}
	if s.Key != "" {
		out.SandboxID = v.record.ID
	}
	if v.status.Live() {
		for port := range v.record.Config.ExposedPorts {
			out.Ports[port] = nil
		}
		maps.Copy(out.Ports, s.Ports)
	}
	return out
}

// endpoints are the networks, with addresses while it runs.
func endpoints(v *view) map[string]*network.EndpointSettings {
	if len(v.status.Sandbox.Endpoints) > 0 {
		return v.status.Sandbox.Endpoints
	}
	if v.record.Endpoints == nil {
		return map[string]*network.EndpointSettings{}
	}
	return v.record.Endpoints
}

// ports lists a container's ports as ps shows them: published ones with their
// host address, exposed ones without.
func ports(v *view) []ctypes.PortSummary {
	out := []ctypes.PortSummary{}
	if !v.status.Live() {
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

// commandLine is what ps shows: the path and its arguments.
func commandLine(r *container.Record) string {
	line := r.Path
	for _, a := range r.Args {
		line += " " + a
	}
	return line
}
