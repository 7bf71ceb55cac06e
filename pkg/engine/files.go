package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// lazyView opens a container's root file system when it is first read: most
// containers name no user, and need no look-up.
type lazyView struct {
	open func() (*rootfs.Root, error)
	root *rootfs.Root
}

func (e *Engine) lazyRootfs(ctx context.Context, id string) *lazyView {
	return &lazyView{open: func() (*rootfs.Root, error) { return e.Tasks.OpenRootfs(ctx, id) }}
}

// readFile reads one file, of at most max bytes, as the container would see it.
func (v *lazyView) readFile(name string, max int64) ([]byte, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	return v.root.ReadFile(name, max)
}

func (v *lazyView) ready() (err error) {
	if v.root != nil {
		return nil
	}
	if v.root, err = v.open(); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	return nil
}

func (v *lazyView) close() {
	if v.root != nil {
		v.root.Close()
	}
}

// logOf names the container's log.
func (e *Engine) logOf(r *container.Record) streams.Log {
	l := streams.Log{Driver: r.HostConfig.LogConfig.Type, Options: r.HostConfig.LogConfig.Config}
	if path := e.logPath(r); path != "" {
		l.Path = path
	}
	return l
}

// logPath is the path that inspect shows: of drivers that keep a file.
func (e *Engine) logPath(r *container.Record) string {
	if r.HostConfig.LogConfig.Type != "json-file" {
		return ""
	}
	return fmt.Sprintf("%s/%s-json.log", e.dir(r.ID), r.ID)
}

// files describes hostname, hosts and resolv.conf of a container about to start.
func (e *Engine) files(r *container.Record, s container.Sandbox) spec.FilesInput {
	in := spec.FilesInput{
		Dir:         e.dir(r.ID),
		Hostname:    r.Config.Hostname,
		Domainname:  r.Config.Domainname,
		ExtraHosts:  r.HostConfig.ExtraHosts,
		DNS:         r.HostConfig.DNS,
		DNSSearch:   r.HostConfig.DNSSearch,
		DNSOptions:  r.HostConfig.DNSOptions,
		HostNetwork: r.HostConfig.NetworkMode.IsHost(),
		HostGateway: e.hostGateway(),
	}
	for _, name := range slices.Sorted(maps.Keys(s.Endpoints)) {
		for _, ip := range []netip.Addr{s.Endpoints[name].IPAddress, s.Endpoints[name].GlobalIPv6Address} {
			if ip.IsValid() {
				in.IPs = append(in.IPs, ip)
			}
		}
	}
	return in
}

// hostGateway is the host's address on the default bridge, what host-gateway
// stands for.
func (e *Engine) hostGateway() (out []netip.Addr) {
	n, err := e.Networks.Lookup(network.NetworkBridge)
	if err != nil {
		return nil // there is no default bridge
	}
	for _, c := range n.IPAM.Config {
		if c.Gateway.IsValid() {
			out = append(out, c.Gateway)
		}
	}
	return out
}

// sharedMemory gives the host path of /dev/shm for the ipc modes that share it;
// "" when the container has its own.
func (e *Engine) sharedMemory(r *container.Record) (string, error) {
	mode := r.HostConfig.IpcMode
	switch {
	case mode.IsShareable():
		return spec.MountShm(e.dir(r.ID), r.HostConfig.ShmSize)
	case mode.IsContainer():
		owner, err := e.units.find(mode.Container())
		if err != nil {
			return "", err
		}
		if !owner.view().record.HostConfig.IpcMode.IsShareable() {
			return "", errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot join IPC of container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)", owner.id))
		}
		return filepath.Join(e.dir(owner.id), "shm"), nil
	}
	return "", nil
}
