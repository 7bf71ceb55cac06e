package net

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/conflist"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/moby/moby/api/types/network"
)

// entry is one network. It is not changed after it was made.
type entry struct {
	net        network.Network
	list       *libcni.NetworkConfigList
	predefined bool
	operator   bool // of a conflist that an operator installed
	refused    bool // it was said that another has its name; the registry's mutex guards it

	// Of bridge networks, else nil.
	bridge  *bridge.Bridge
	rules   *firewall.Network
	subnets []cni.Subnet
	leases  string // folder of the address leases
	options define.Bridge

	// Of macvlan and ipvlan networks, else nil.
	parent     *bridge.Parent
	madeParent bool // it goes with the last network on it

	// foreign says that the bridge was there before the network: it stays when
	// the network goes.
	foreign bool
}

// registry is the networks.
type registry struct {
	cfg       Config
	dirs      layout
	conflists *conflists
	files     conflist.Folder // of all but the operator's

	mu     sync.RWMutex // guards what follows
	byName map[string]*entry
	// held counts the sandboxes that are about to have an endpoint on a network
	// and are not among the records yet.
	held map[string]int
}

// save writes the network's file.
func (r *registry) save(e *entry) error {
	return r.files.Save(e.list, conflist.Record{Network: e.net, ForeignBridge: e.foreign, MadeParent: e.madeParent})
}

func (r *registry) all() []*entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.byName))
}

func (r *registry) byExactName(name string) (*entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n, ok := r.byName[name]
	return n, ok
}

// hold finds a network that an endpoint is about to be made on: until release
// it cannot be removed.
func (r *registry) hold(ref string) (n *entry, release func(), err error) {
	r.refresh()
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, err = r.findLocked(ref); err != nil {
		return nil, nil, err
	}
	if n.net.ConfigOnly {
		return nil, nil, errdefs.ErrPermissionDenied.WithMessage("cannot create endpoint on configuration-only network")
	}
	name := n.net.Name
	r.held[name]++
	return n, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.held[name]--; r.held[name] == 0 {
			delete(r.held, name)
		}
	}, nil
}

// load fills the registry: Docker's predefined networks, the users' and the
// operator's conflists.
func (r *registry) load() error {
	stored, err := r.files.All()
	if err != nil {
		return err
	}
	for name, driver := range map[string]string{network.NetworkHost: define.DriverHost, network.NetworkNone: define.DriverNull} {
		e, err := r.entryOf(r.predefined(name, driver, stored))
		if err == nil {
			err = r.save(e)
		}
		if err != nil {
			return err
		}
		r.add(e)
	}
	if !r.cfg.DisableBridge {
		e, err := r.openDefaultBridge(stored)
		if err != nil {
			return fmt.Errorf("network %s: %w", network.NetworkBridge, err)
		}
		r.add(e)
	}
	for name, s := range stored {
		if !define.Predefined(name) {
			r.reopen(s)
		}
	}
	r.refresh()
	return nil
}

// reopen takes up a network that a user made; its bridge is made again if it is
// gone. What is wrong with one does not hinder the others.
func (r *registry) reopen(s conflist.Record) {
	e, err := r.entryOf(s.Network)
	if err != nil {
		r.cfg.Log.Error("a network is left out", "network", s.Network.Name, "error", err)
		return
	}
	e.foreign, e.madeParent = s.ForeignBridge, s.MadeParent
	if err := e.ensure(); err != nil {
		r.cfg.Log.Error("containers cannot be started on a network", "network", s.Network.Name, "error", err)
	}
	r.add(e)
}

// ensure makes the interface of the host's that the network needs.
func (n *entry) ensure() error {
	switch {
	case n.bridge != nil:
		_, err := n.bridge.Ensure()
		return err
	case n.madeParent:
		return n.parent.Ensure()
	}
	return nil
}

func (r *registry) add(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[e.net.Name] = e
}

// predefined returns the definition of a network that always exists. Its ID
// stays the same for as long as the root does.
func (r *registry) predefined(name, driver string, known map[string]conflist.Record) network.Network {
	n := network.Network{Name: name, ID: stableID(r.cfg.DataRoot, name), Created: time.Now().UTC(),
		Scope: "local", Driver: driver, EnableIPv4: true,
		IPAM: network.IPAM{Driver: "default"}, Options: map[string]string{}, Labels: map[string]string{}}
	if old, ok := known[name]; ok {
		n.Created, n.IPAM.Config = old.Network.Created, old.Network.IPAM.Config
	}
	return n
}

func stableID(root, name string) string {
	sum := sha256.Sum256([]byte(root + "\x00" + name))
	return hex.EncodeToString(sum[:])
}

// entryOf makes the conflist of n, and what else its driver needs.
func (r *registry) entryOf(n network.Network) (*entry, error) {
	e := &entry{net: n, predefined: define.Predefined(n.Name)}
	var err error
	switch n.Driver {
	case define.DriverBridge:
		err = r.bridged(e)
	case define.DriverMacvlan, define.DriverIPvlan:
		err = r.linked(e)
	case define.DriverHost:
		e.list, err = conflist.New(n.Name, map[string]any{"type": cni.TypeHost})
	case define.DriverNull: // also of configuration-only networks, which nobody is on
		e.list, err = conflist.New(n.Name, map[string]any{"type": cni.TypeNone})
	default:
		err = errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", n.Driver))
	}
	return e, err
}

// drivers are those that users can make networks of.
func drivers() []string {
	return []string{define.DriverBridge, define.DriverMacvlan, define.DriverIPvlan}
}

// bridged completes the entry of a bridge network.
func (r *registry) bridged(e *entry) (err error) {
	n := e.net
	if e.options, err = define.ParseBridge(n.Options, n.Internal); err != nil {
		return err
	}
	name, mtu := e.options.Name, e.options.MTU
	if name == "" {
		name = "br-" + n.ID[:12]
	}
	if mtu == 0 {
		mtu = r.cfg.MTU
	}
	e.leases = r.dirs.leases(n.Name)
	e.bridge = &bridge.Bridge{Name: name, MTU: mtu}
	e.rules = &firewall.Network{Bridge: name, Internal: n.Internal, ICC: e.options.ICC, Masquerade: e.options.Masquerade,
		Source: e.options.Source, Access4: r.access(n, e.options.Mode4), Access6: r.access(n, e.options.Mode6), Trusted: e.options.Trusted}
	for _, c := range n.IPAM.Config {
		s := cni.Subnet{Subnet: c.Subnet, Range: c.IPRange, Gateway: c.Gateway, Reserved: slices.Collect(maps.Values(c.AuxAddress)),
			Router: c.AuxAddress[define.AuxGateway(c.Subnet.Addr())], Elsewhere: e.options.Inhibit4 && c.Subnet.Addr().Is4()}
		slices.SortFunc(s.Reserved, netip.Addr.Compare)
		e.subnets = append(e.subnets, s)
		e.rules.Subnets = append(e.rules.Subnets, c.Subnet)
		if c.Gateway.IsValid() && !s.Elsewhere && e.options.Mode(c.Gateway) != define.ModeIsolated {
			e.bridge.Gateways = append(e.bridge.Gateways, netip.PrefixFrom(c.Gateway, c.Subnet.Bits()))
		}
	}
	rules := e.rules
	e.list, err = conflist.New(n.Name,
		map[string]any{"type": cni.TypeBridge, "bridge": name, "mtu": mtu, "internal": n.Internal, "isolated": !rules.ICC,
			"ipam":         map[string]any{"type": "berth-ipam", "dataDir": e.leases, "subnets": e.subnets},
			"capabilities": map[string]bool{"ips": true, "mac": true, "defaultRoute": true}},
		map[string]any{"type": cni.TypeFirewall, "table": r.cfg.table(), "bridge": name,
			"subnets": rules.Subnets, "masquerade": rules.Masquerade, "source": rules.Source, "icc": rules.ICC,
			"internal": rules.Internal, "access4": rules.Access4, "access6": rules.Access6, "trusted": rules.Trusted},
		map[string]any{"type": cni.TypePorts, "table": r.cfg.table(), "subnets": rules.Subnets,
			"capabilities": map[string]bool{"portMappings": true}})
	return err
}

// access is what a gateway mode lets in.
func (r *registry) access(n network.Network, m define.GatewayMode) firewall.Access {
	switch {
	case n.Internal:
		return firewall.AccessNone
	case m == define.ModeRouted:
		return firewall.AccessRouted
	case m == define.ModeUnprotected:
		return firewall.AccessAll
	case r.cfg.AllowDirectRouting:
		return firewall.AccessPublished
	}
	return firewall.AccessNone
}
