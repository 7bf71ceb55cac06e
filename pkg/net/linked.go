package net

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/conflist"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/containerd/errdefs"
)

// linked completes the entry of a macvlan or ipvlan network: containers are on
// the parent's wire itself, by upstream's plugin and our addresses.
func (r *registry) linked(e *entry) error {
	n := e.net
	l, err := define.ParseLinked(n.Driver, n.Options)
	if err != nil {
		return err
	}
	if e.parent, err = parentOf(l, n.ID); err != nil {
		return err
	}
	e.leases = r.dirs.leases(n.Name)
	for _, c := range n.IPAM.Config {
		e.subnets = append(e.subnets, cni.Subnet{Subnet: c.Subnet, Range: c.IPRange, Gateway: c.Gateway,
			Reserved: slices.SortedFunc(maps.Values(c.AuxAddress), netip.Addr.Compare)})
	}
	e.list, err = conflist.New(n.Name, map[string]any{"type": n.Driver, "master": e.parent.Name, "mode": l.Mode, "mtu": l.MTU,
		"internal":     n.Internal, // the address management's: no default route
		"ipam":         map[string]any{"type": cni.TypeIPAM, "dataDir": e.leases, "subnets": e.subnets},
		"capabilities": map[string]bool{"ips": true, "mac": true, "defaultRoute": true}})
	return err
}

// parentOf is the interface that a network is on. Without one that was asked
// for it has one of its own, as Docker calls it.
func parentOf(l define.Linked, id string) (*bridge.Parent, error) {
	if l.Parent == "" {
		return &bridge.Parent{Name: "dm-" + id[:12]}, nil
	}
	p := &bridge.Parent{Name: l.Parent}
	there, err := bridge.Exists(p.Name)
	if err != nil {
		return nil, err
	}
	// A VLAN's may be gone after a reboot, and be made again.
	if of, vlan, vlanErr := define.VLAN(l.Parent); vlanErr == nil {
		p.Of, p.VLAN = of, vlan
	} else if !there {
		return nil, vlanErr
	}
	return p, nil
}

// ownParent refuses a parent that cannot be shared, and notes who made it: the
// last network on it takes it away.
func (r *registry) ownParent(e *entry) error {
	if e.parent == nil {
		return nil
	}
	if !bridge.Supported(e.net.Driver) {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf(
			"network driver %s cannot be used: the kernel has no %s interfaces", e.net.Driver, e.net.Driver))
	}
	there, err := bridge.Exists(e.parent.Name)
	if err != nil {
		return err
	}
	e.madeParent = !there
	passthru := func(e *entry) bool { return e.net.Options["macvlan_mode"] == define.Passthru }
	for _, other := range r.on(e.parent.Name) {
		e.madeParent = e.madeParent || other.madeParent
		reason := ""
		switch {
		case other.net.Driver != e.net.Driver:
			reason = fmt.Sprintf("%s network %s is already using parent interface %s", other.net.Driver, other.net.ID, e.parent.Name)
		case passthru(e):
			reason = fmt.Sprintf("cannot use mode passthru, macvlan network %s is already using parent interface %s", other.net.ID, e.parent.Name)
		case passthru(other):
			reason = fmt.Sprintf("macvlan network %s is already using parent interface %s in mode passthru", other.net.ID, e.parent.Name)
		case e.net.Driver == define.DriverIPvlan:
			reason = fmt.Sprintf("network dm-%s is already using parent interface %s", other.net.ID[:12], e.parent.Name)
		}
		if reason != "" {
			return errdefs.ErrPermissionDenied.WithMessage(reason)
		}
	}
	return nil
}

// on gives the networks that have a parent interface.
func (r *registry) on(parent string) (out []*entry) {
	for _, n := range r.all() {
		if n.parent != nil && n.parent.Name == parent {
			out = append(out, n)
		}
	}
	return out
}

// unmakeParent removes what was made for the network, unless others use it.
func (m *maker) unmakeParent(e *entry) error {
	if e.madeParent && len(m.networks.on(e.parent.Name)) == 0 {
		if err := m.links.Delete(e.parent.Name); err != nil {
			return err
		}
	}
	m.plugins.Forget(e.leases)
	return removeAll(e.leases)
}
