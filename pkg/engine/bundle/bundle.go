// Package bundle makes what the runtime is given of a container: its own files, its
// mounts, and the descriptions of its processes.
package bundle

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/berth-engine/berth/pkg/engine/cdi"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/etc"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/links"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/berth-engine/berth/pkg/trace"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Bundler makes bundles. Every field is required.
type Bundler struct {
	layout.Layout
	Units    *unit.Registry
	Roots    Roots
	Networks Networks
	Volumes  Volumes
	View     func(id string) string // path of what a container's shim answers names from
	Init     string                 // path of berth-init
	Host     spec.Host
	Defaults spec.Defaults
	Devices  cdi.Dirs
	LinkEnv  bool // links bring variables, as up to Docker 28
	Logger   *slog.Logger
}

// Roots opens root file systems to be read.
type Roots interface {
	OpenRootfs(ctx context.Context, id string) (*rootfs.Root, error)
}

// Networks are asked who is there, and told which ports of others a container reaches.
type Networks interface {
	Lookup(ref string) (network.Network, error)
	Link(ctx context.Context, id string, to map[string][]network.Port) error
}

// Volumes makes ready what a starting container mounts; Unmount undoes it.
type Volumes interface {
	Mounts(ctx context.Context, id string, cfg *ctypes.Config, hc *ctypes.HostConfig, from []mount.Mount) ([]specs.Mount, error)
	Unmount(ctx context.Context, id string) error
}

// Spec writes the container's own files and its runtime configuration.
func (b *Bundler) Spec(ctx context.Context, r *container.Record, sandbox container.Sandbox) (*specs.Spec, error) {
	ctx, end := trace.Start(ctx, "start.spec")
	defer end()
	linked, err := links.Start(r, sandbox.Endpoints[network.NetworkBridge], b.Units.Get)
	if err != nil {
		return nil, err
	}
	if open := links.Open(r, b.Units.Get); len(open) > 0 && len(linked.Hosts) > 0 {
		if err := b.Networks.Link(ctx, r.ID, open); err != nil {
			return nil, err
		}
	}
	if !r.HostConfig.NetworkMode.IsContainer() { // else it has the files of whose network it joins
		files := b.files(r, sandbox)
		files.Linked = linked.Hosts
		if err := etc.Write(files); err != nil {
			return nil, err
		}
	}
	mounts, err := b.Volumes.Mounts(ctx, r.ID, r.Config, r.HostConfig, r.Shared)
	if err != nil {
		return nil, err
	}
	shm, err := b.sharedMemory(r)
	if err != nil {
		return nil, err
	}
	view := b.Rootfs(ctx, r.ID)
	defer view.Close()
	in := b.input(r, view)
	in.NetNS, in.Mounts, in.Shm = sandbox.Key, r.Loosen(mounts), shm
	if b.LinkEnv {
		in.LinkEnv = linked.Env
	}
	bundle, err := spec.Build(ctx, in)
	if err != nil {
		return nil, err
	}
	return b.Devices.Inject(bundle, r.HostConfig.DeviceRequests)
}

// Process describes a further process of a running container.
func (b *Bundler) Process(ctx context.Context, r *container.Record, ask *ctypes.ExecCreateRequest) (*specs.Process, error) {
	view := b.Rootfs(ctx, r.ID)
	defer view.Close()
	in := b.input(r, view)
	if u := b.Units.Get(r.ID); b.LinkEnv && u != nil {
		linked, err := links.Start(r, u.Status().Sandbox.Endpoints[network.NetworkBridge], b.Units.Get)
		if err != nil {
			return nil, err
		}
		in.LinkEnv = linked.Env
	}
	return spec.Process(ctx, in, ask)
}

// Relink tells those who link to a container that has just started its addresses.
func (b *Bundler) Relink(u *unit.Unit) {
	child := u.View()
	ep := child.Status.Sandbox.Endpoints[network.NetworkBridge]
	if ep == nil {
		return
	}
	for _, parent := range b.Units.All() {
		for _, l := range parent.View().Record.Links {
			if l.ID == u.ID {
				parent.Post(func() { b.RelinkOne(parent, l, child.Record, links.Hosts(l, child.Record, ep)) })
			}
		}
	}
}

// Relinked has a running container reach no more than it still links to. Owner only.
func (b *Bundler) Relinked(ctx context.Context, u *unit.Unit) error {
	v := u.View()
	if !v.Status.Live() || v.Status.Sandbox.Endpoints[network.NetworkBridge] == nil {
		return nil
	}
	return b.Networks.Link(ctx, u.ID, links.Open(v.Record, b.Units.Get))
}

// RelinkOne changes the hosts file of a running container: the lines of a link to
// child become hosts. One that starts later finds the addresses itself. Owner only.
func (b *Bundler) RelinkOne(parent *unit.Unit, l container.Link, child *container.Record, hosts []etc.HostLine) {
	if !parent.Status().Live() {
		return
	}
	if err := links.Update(filepath.Join(b.Dir(parent.ID), "hosts"), l, child, hosts); err != nil {
		b.Logger.Error("addresses of a linked container could not be written", "container", parent.ID, "error", err)
	}
}

// Refresh tells a running container of its networks in its files.
func (b *Bundler) Refresh(r *container.Record, before, after container.Sandbox) error {
	return etc.Refresh(b.files(r, before), b.files(r, after))
}

// input is what the specifications of a container's first and further
// processes have in common.
func (b *Bundler) input(r *container.Record, view *RootView) spec.Input {
	named := b.Units.Named(r)
	cfg := *r.Config
	cfg.Hostname, cfg.Domainname = named.Config.Hostname, named.Config.Domainname
	return spec.Input{
		ID:         r.ID,
		Name:       r.Name,
		Config:     &cfg,
		HostConfig: r.HostConfig,
		Dir:        b.Dir(named.ID),
		Init:       b.Init,
		Lookup:     view.readFile,
		Namespaces: b.pidOf,
		Host:       b.Host,
		Defaults:   b.Defaults,
	}
}

// Rootfs is the container's root file system, to read.
func (b *Bundler) Rootfs(ctx context.Context, id string) *RootView {
	return &RootView{open: func() (*rootfs.Root, error) { return b.Roots.OpenRootfs(ctx, id) }}
}

// Unmount releases what only a running container has mounted. Idempotent.
func (b *Bundler) Unmount(ctx context.Context, r *container.Record) error {
	err := b.Volumes.Unmount(ctx, r.ID)
	if r.HostConfig.IpcMode.IsShareable() {
		err = errors.Join(err, spec.UnmountShm(b.Dir(r.ID)))
	}
	return err
}

// files describes hostname, hosts and resolv.conf of a container about to start.
func (b *Bundler) files(r *container.Record, s container.Sandbox) etc.Input {
	in := etc.Input{
		Dir:         b.Dir(r.ID),
		Hostname:    r.Config.Hostname,
		Domainname:  r.Config.Domainname,
		ExtraHosts:  r.HostConfig.ExtraHosts,
		DNS:         either(r.HostConfig.DNS, b.Defaults.DNS),
		DNSSearch:   either(r.HostConfig.DNSSearch, b.Defaults.DNSSearch),
		DNSOptions:  either(r.HostConfig.DNSOptions, b.Defaults.DNSOptions),
		HostNetwork: r.HostConfig.NetworkMode.IsHost(),
		HostGateway: b.hostGateway(),
	}
	for _, name := range slices.Sorted(maps.Keys(s.Endpoints)) {
		for _, ip := range []netip.Addr{s.Endpoints[name].IPAddress, s.Endpoints[name].GlobalIPv6Address} {
			if ip.IsValid() {
				in.IPs = append(in.IPs, ip)
			}
		}
		if n, err := b.Networks.Lookup(name); err == nil && ctypes.NetworkMode(n.Name).IsUserDefined() {
			in.Resolver = resolver
		}
	}
	return in
}

// resolver is where containers ask for names on networks that have them.
var resolver = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Names says how names are answered in a container's network namespace, now or
// once it is on a network that has names. Who joins another's network answers there
// as well, as its owner does: names are known when that one has ended, too.
func (b *Bundler) Names(r *container.Record, s container.Sandbox) (*streams.Names, error) {
	key := s.Key
	if u := b.Units.Get(s.Owner); u != nil {
		v := u.View()
		r, s = v.Record, v.Status.Sandbox
	}
	if key == "" || len(s.Endpoints) == 0 || r.HostConfig.NetworkMode.IsNone() {
		return nil, nil
	}
	servers, ndots, err := etc.NameServers(b.files(r, s))
	if err != nil {
		return nil, err
	}
	return &streams.Names{NetNS: key, View: b.View(r.ID), Servers: servers, Ndots: ndots}, nil
}

// either is what the container says, or else what the daemon does.
func either[T any](own, daemon []T) []T {
	if len(own) > 0 {
		return own
	}
	return daemon
}

// hostGateway is what host-gateway stands for: the host's address on the default
// bridge, unless the daemon's configuration names another.
func (b *Bundler) hostGateway() (out []netip.Addr) {
	if len(b.Defaults.HostGateway) > 0 {
		return b.Defaults.HostGateway
	}
	n, err := b.Networks.Lookup(network.NetworkBridge)
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
