package net

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Lookup finds a network by ID, name or ID prefix. NotFound, with Docker's
// words, when there is none; InvalidArgument when several IDs begin with ref.
func (m *Manager) Lookup(ref string) (network.Network, error) {
	n, err := m.networks.find(ref)
	if err != nil {
		return network.Network{}, err
	}
	return n.copy(), nil
}

func (r *registry) find(ref string) (*entry, error) {
	r.refresh()
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.findLocked(ref)
}

func (r *registry) findLocked(ref string) (*entry, error) {
	if ref == network.NetworkDefault {
		ref = network.NetworkBridge
		if r.cfg.DisableBridge {
			ref = network.NetworkNone
		}
	}
	// An ID comes before another network's name, a part of one after.
	for _, n := range r.byName {
		if n.net.ID == ref {
			return n, nil
		}
	}
	if n, ok := r.byName[ref]; ok {
		return n, nil
	}
	var found []*entry
	for _, n := range r.byName {
		if ref != "" && strings.HasPrefix(n.net.ID, ref) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
	case 1:
		return found[0], nil
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage(
		fmt.Sprintf("network %s is ambiguous (%d matches found based on ID prefix)", ref, len(found)))
}

// copy keeps callers' hands off the maps.
func (n *entry) copy() network.Network {
	out := n.net
	out.Options, out.Labels = maps.Clone(out.Options), maps.Clone(out.Labels)
	out.IPAM.Config = slices.Clone(out.IPAM.Config)
	return out
}

// List returns the networks that f lets through, by name. Filters: dangling,
// driver, id, label, name, scope, type. InvalidArgument for others.
func (m *Manager) List(f filters.Args) ([]network.Summary, error) {
	if err := f.Validate("dangling", "driver", "id", "label", "name", "scope", "type"); err != nil {
		return nil, err
	}
	for _, t := range f["type"] {
		if t != "builtin" && t != "custom" {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter: 'type'='%s'", t))
		}
	}
	dangling, err := f.Bool("dangling", false)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, s := range m.sandboxes.All() {
		for _, e := range s.Endpoints {
			used[e.Network] = true
		}
	}
	m.networks.refresh()
	out := []network.Summary{}
	for _, n := range m.networks.all() {
		if f.Has("dangling") && dangling != (!n.predefined && !used[n.net.Name]) {
			continue
		}
		if n.matches(f) {
			out = append(out, network.Summary{Network: n.copy()})
		}
	}
	slices.SortFunc(out, func(a, b network.Summary) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (n *entry) matches(f filters.Args) bool {
	kind := "custom"
	if n.predefined {
		kind = "builtin"
	}
	return f.Match("driver", n.net.Driver) && f.Match("scope", n.net.Scope) && f.Match("type", kind) &&
		f.MatchLabels("label", n.net.Labels) &&
		f.MatchFunc("name", pattern(n.net.Name)) && f.MatchFunc("id", pattern(n.net.ID))
}

// pattern: Docker matches names and IDs by regular expression.
func pattern(value string) func(string) bool {
	return func(want string) bool {
		if value == want {
			return true
		}
		re, err := regexp.Compile(want)
		return err == nil && re.MatchString(value)
	}
}

// Inspect returns a network with its live endpoints. verbose, which asks for
// a swarm's services, changes nothing here; a scope other than "" and the
// network's own finds nothing.
func (m *Manager) Inspect(ref string, _ bool, scope string) (network.Inspect, error) {
	n, err := m.networks.find(ref)
	if err == nil && scope != "" && scope != n.net.Scope {
		err = errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
	}
	if err != nil {
		return network.Inspect{}, err
	}
	out := network.Inspect{Network: n.copy(), Containers: map[string]network.EndpointResource{}}
	for _, s := range m.sandboxes.All() {
		for _, e := range s.Endpoints {
			if e.Network == n.net.Name && s.Ready && !e.Pending {
				out.Containers[s.ID] = resource(e, s.Name)
			}
		}
	}
	out.Status = &network.Status{IPAM: network.IPAMStatus{Subnets: m.subnetStatus(n)}}
	return out, nil
}

func resource(e sandbox.Endpoint, name string) network.EndpointResource {
	r := network.EndpointResource{Name: name, EndpointID: e.Settings.EndpointID, MacAddress: e.Settings.MacAddress}
	if e.Settings.IPAddress.IsValid() {
		r.IPv4Address = netip.PrefixFrom(e.Settings.IPAddress, e.Settings.IPPrefixLen)
	}
	if e.Settings.GlobalIPv6Address.IsValid() {
		r.IPv6Address = netip.PrefixFrom(e.Settings.GlobalIPv6Address, e.Settings.GlobalIPv6PrefixLen)
	}
	return r
}

func (m *Manager) subnetStatus(n *entry) network.SubnetStatuses {
	if len(n.subnets) == 0 {
		return nil
	}
	out := network.SubnetStatuses{}
	if n.parent != nil {
		m.plugins.Forget(n.leases) // other processes lease there
	}
	for _, s := range n.subnets {
		inUse, available, err := m.plugins.Usage(n.leases, s)
		if err != nil {
			continue // such a subnet cannot have got here
		}
		out[s.Subnet] = network.SubnetStatus{IPsInUse: inUse, DynamicIPsAvailable: available}
	}
	return out
}
