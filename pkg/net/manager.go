// Package net makes the networks of containers: sandboxes (network
// namespaces), endpoints in them, addresses, published ports and the firewall.
//
// A network is a CNI conflist and endpoints are made by libcni; our own plugins
// run in this process (package cni). What exists is recorded below EXEC before
// it is made, so that whatever a crash leaves behind is found by Reconcile.
package net

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/conflist"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/berth-engine/berth/pkg/net/records"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/containernetworking/cni/libcni"
	"github.com/moby/moby/api/types/events"
)

// DefaultBridge is the bridge of the network "bridge" unless configured.
const DefaultBridge = "berth0"

// Config is what a Manager is made of.
type Config struct {
	DataRoot string // DATA: networks are kept in DATA/networks
	ExecRoot string // EXEC: state lies in EXEC/net, namespaces are pinned in EXEC/netns

	Bridge        string              // the network "bridge"'s; "" is DefaultBridge
	DisableBridge bool                // there is no network "bridge" (dockerd's --bridge=none)
	IPv6          bool                // the network "bridge" has IPv6, too
	V4, V6        define.BridgeSubnet // of the network "bridge"
	MTU           int                 // 0 is that of the default route's device
	Pools         []ipam.AddressPool  // subnets are chosen of them; nil is Docker's
	HostIP        netip.Addr          // where ports are published that name no address; zero is 0.0.0.0

	// NetworkOptions are those of new networks that do not say otherwise, by driver.
	NetworkOptions map[string]map[string]string

	NoICC        bool // containers of the network "bridge" do not reach each other
	NoMasquerade bool // and leave the host with their own addresses

	// Holder is the socket of what holds the ports of a container, its shim; nil:
	// this process holds them. Proxy has it forward what the firewall cannot.
	Holder func(id string) string
	Proxy  bool
	// AllowDirectRouting lets other hosts reach published ports at the containers'
	// own addresses.
	AllowDirectRouting bool

	Forwarding firewall.Forwarding // but its Notes, which are EXEC/net/forwarding

	CNIPath []string // where plugins that are not ours are executed from
	CNIConf string   // folder of conflists that appear as networks; "" is none

	Events func(events.Message) // told of networks that are made and removed; nil: nobody is

	Log *slog.Logger
}

// Manager keeps the networks of one daemon: the maker's are their making and
// removal, the wirer's the containers on them.
type Manager struct {
	*maker
	*wirer

	cfg       Config
	log       *slog.Logger
	plugins   *cni.Set
	firewall  *firewall.Table
	links     *bridge.Deleter
	ports     *ports.Allocator
	dirs      layout
	networks  *registry
	sandboxes *sandbox.Store
}

// New opens the networks of a daemon: the bridge and the firewall's table
// exist when it returns, and endpoints of an earlier process work on.
func New(ctx context.Context, c Config) (_ *Manager, err error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	dirs := layout{c.DataRoot, c.ExecRoot}
	if err := dirs.make(); err != nil {
		return nil, err
	}
	m := &Manager{cfg: c, log: c.Log, ports: ports.NewAllocator(c.Log), dirs: dirs,
		networks: &registry{cfg: c, dirs: dirs, conflists: &conflists{cfg: c}, files: conflist.Folder{Path: dirs.networks(), Log: c.Log}, byName: map[string]*entry{}, held: map[string]int{}}}
	if m.sandboxes, err = sandbox.Load(dirs.sandboxes(), dirs.pin, c.Log); err != nil {
		return nil, err
	}
	if m.links, err = bridge.NewDeleter(); err != nil {
		return nil, err
	}
	c.Forwarding.Notes = dirs.state("forwarding")
	if m.firewall, err = firewall.Open(firewall.Config{Name: c.table(), Forwarding: c.Forwarding, Log: c.Log}); err != nil {
		return nil, errors.Join(err, m.links.Close())
	}
	m.plugins = cni.NewSet(func(name string) (*firewall.Table, func() error, error) {
		if name != c.table() {
			return nil, nil, fmt.Errorf("a conflist names the firewall table %q; this daemon's is %q", name, c.table())
		}
		return m.firewall, func() error { return nil }, nil
	}, m.links.Delete)
	m.maker = &maker{networks: m.networks, sandboxes: m.sandboxes, firewall: m.firewall, links: m.links,
		plugins: m.plugins, events: c.Events}
	known, err := records.Open(dirs.names())
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	publisher := &publisher{networks: m.networks, sandboxes: m.sandboxes, ports: m.ports,
		hostIP: c.HostIP, holder: c.Holder, proxy: c.Proxy && c.Holder != nil, log: c.Log}
	m.wirer = &wirer{publisher: publisher, networks: m.networks, names: namer{m.networks, known, c.Holder}, sandboxes: m.sandboxes, firewall: m.firewall,
		links: linker{m.networks, m.sandboxes, m.firewall},
		cni:   libcni.NewCNIConfigWithCacheDir(c.CNIPath, dirs.notes(), m.plugins.Exec()), dirs: dirs, log: c.Log}
	if err := m.open(ctx); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *Manager) open(ctx context.Context) error {
	if err := m.networks.load(); err != nil {
		return err
	}
	for id, s := range m.sandboxes.All() {
		if s.Ready && len(s.Bindings) > 0 {
			m.ports.Restore(id, s.Name, s.Bindings, s.Held)
		}
	}
	if err := m.wirer.names.restore(ctx, m.sandboxes.All()); err != nil {
		return err
	}
	return m.restoreFirewall(ctx)
}

func (c *Config) complete() error {
	if c.Bridge == "" {
		c.Bridge = DefaultBridge
	}
	if c.Pools == nil {
		c.Pools = ipam.DefaultPools()
	}
	if !slices.ContainsFunc(c.Pools, func(p ipam.AddressPool) bool { return p.Base.Addr().Is6() }) {
		c.Pools = append(slices.Clone(c.Pools), ipam.UniqueLocal(c.DataRoot))
	}
	if c.MTU == 0 {
		c.MTU = bridge.DefaultMTU()
	}
	if !c.HostIP.IsValid() {
		c.HostIP = netip.IPv4Unspecified()
	}
	if c.Events == nil {
		c.Events = func(events.Message) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := define.CheckOptions(c.NetworkOptions); err != nil {
		return err
	}
	return ipam.ValidatePools(c.Pools)
}

// table is the name of our nftables table: daemons beside each other have
// bridges of different names.
func (c *Config) table() string {
	if c.Bridge == DefaultBridge {
		return "berth"
	}
	return "berth-" + c.Bridge
}

// Close lets everything go on without this process. idle says that nothing
// runs: then the bridges and the firewall's table go as well.
func (m *Manager) Close(ctx context.Context, idle bool) error {
	var err error
	if idle {
		err = m.firewall.Drop(ctx)
		for _, n := range m.networks.all() {
			if n.bridge != nil && !n.foreign {
				err = errors.Join(err, n.bridge.Delete())
			}
			if n.madeParent {
				err = errors.Join(err, bridge.DeleteLink(n.parent.Name))
			}
		}
	}
	return errors.Join(err, m.close())
}

func (m *Manager) close() error {
	m.ports.Close()
	return errors.Join(m.links.Close(), m.firewall.Close())
}

// restoreFirewall makes the table what the networks and sandboxes say.
func (m *Manager) restoreFirewall(ctx context.Context) error {
	var networks []firewall.Network
	for _, n := range m.networks.all() {
		if n.rules != nil {
			networks = append(networks, *n.rules)
		}
	}
	if len(networks) == 0 {
		return m.firewall.Drop(ctx) // what a daemon with another configuration left
	}
	published := map[string][]firewall.Mapping{}
	for _, s := range m.sandboxes.All() {
		owner, mappings := s.Published()
		if len(mappings) > 0 {
			published[owner] = mappings
		}
	}
	for _, p := range m.wirer.links.pairs("") {
		if mappings := m.wirer.links.mappings(p); len(mappings) > 0 {
			published[p.owner()] = mappings
		}
	}
	return m.firewall.Reset(ctx, networks, published)
}
