package cni

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/moby/moby/api/types/network"
)

// FirewallConf is the configuration of berth-firewall: who may reach whom, and
// masquerading. It changes nothing per container.
type FirewallConf struct {
	types.PluginConf
	Table      string          `json:"table"` // nftables table; "" is berth-cni
	Bridge     string          `json:"bridge"`
	Subnets    []netip.Prefix  `json:"subnets"`
	Masquerade bool            `json:"masquerade"`
	Source     []netip.Addr    `json:"source,omitempty"`
	ICC        bool            `json:"icc"`
	Internal   bool            `json:"internal"`
	Access4    firewall.Access `json:"access4,omitempty"`
	Access6    firewall.Access `json:"access6,omitempty"`
	Trusted    []string        `json:"trusted,omitempty"`
}

// PortsConf is the configuration of berth-ports: published ports.
type PortsConf struct {
	types.PluginConf
	Table   string         `json:"table"`             // as berth-firewall's
	Subnets []netip.Prefix `json:"subnets,omitempty"` // GC lets ports of other networks be
	Runtime struct {
		PortMappings []PortMapping `json:"portMappings"`
	} `json:"runtimeConfig"`
}

// PortMapping is one entry of CNI's portMappings capability.
type PortMapping struct {
	HostPort      uint16 `json:"hostPort"` // 0: the container's is open at its own address
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"` // tcp, udp, sctp; "" is tcp
	HostIP        string `json:"hostIP,omitempty"`
}

const defaultTable = "berth-cni"

func (s *Set) table(name string, f func(*firewall.Table) error) error {
	if name == "" {
		name = defaultTable
	}
	t, done, err := s.tables(name)
	if err != nil {
		return err
	}
	return errors.Join(f(t), done())
}

type firewallPlugin struct{ set *Set }

func (p firewallPlugin) ensure(ctx context.Context, a *skel.CmdArgs) (*FirewallConf, error) {
	c, err := parseConf[FirewallConf](a)
	if err != nil {
		return nil, err
	}
	return c, p.set.table(c.Table, func(t *firewall.Table) error {
		return t.AddNetwork(ctx, firewall.Network{Bridge: c.Bridge, Subnets: c.Subnets,
			Masquerade: c.Masquerade, Source: c.Source, ICC: c.ICC, Internal: c.Internal,
			Access4: c.Access4, Access6: c.Access6, Trusted: c.Trusted})
	})
}

func (p firewallPlugin) add(ctx context.Context, a *skel.CmdArgs) (types.Result, error) {
	c, err := p.ensure(ctx, a)
	if err != nil {
		return nil, err
	}
	return previous(&c.PluginConf)
}

// del leaves the network's rules: other containers need them.
func (p firewallPlugin) del(context.Context, *skel.CmdArgs) error { return nil }

func (p firewallPlugin) check(ctx context.Context, a *skel.CmdArgs) error { return p.status(ctx, a) }

func (p firewallPlugin) gc(context.Context, *skel.CmdArgs) error { return nil }

func (p firewallPlugin) status(_ context.Context, a *skel.CmdArgs) error {
	c, err := parseConf[FirewallConf](a)
	if err != nil {
		return err
	}
	if c.Bridge == "" {
		return types.NewError(types.ErrInvalidNetworkConfig, "berth-firewall needs bridge", "")
	}
	return p.set.table(c.Table, func(*firewall.Table) error { return nil })
}

type portsPlugin struct{ set *Set }

func (p portsPlugin) add(ctx context.Context, a *skel.CmdArgs) (types.Result, error) {
	c, err := parseConf[PortsConf](a)
	if err != nil {
		return nil, err
	}
	prev, err := previous(&c.PluginConf)
	if err != nil || len(c.Runtime.PortMappings) == 0 {
		return prev, err
	}
	m, err := mappings(c.Runtime.PortMappings, prev)
	if err != nil {
		return nil, err
	}
	return prev, p.set.table(c.Table, func(t *firewall.Table) error {
		return t.Publish(ctx, owner(a).String(), m)
	})
}

func (p portsPlugin) del(ctx context.Context, a *skel.CmdArgs) error {
	c, err := parseConf[PortsConf](a)
	if err != nil {
		return err
	}
	return p.set.table(c.Table, func(t *firewall.Table) error {
		return t.Unpublish(ctx, owner(a).String())
	})
}

func (p portsPlugin) check(ctx context.Context, a *skel.CmdArgs) error {
	c, err := parseConf[PortsConf](a)
	if err != nil {
		return err
	}
	return p.set.table(c.Table, func(t *firewall.Table) error {
		have, err := t.Published(ctx)
		if err == nil && len(have[owner(a).String()]) < len(c.Runtime.PortMappings) {
			err = fmt.Errorf("not all ports of %s are published: %w", a.ContainerID, errdefs.ErrNotFound)
		}
		return err
	})
}

func (p portsPlugin) gc(ctx context.Context, a *skel.CmdArgs) error {
	c, err := parseConf[PortsConf](a)
	if err != nil {
		return err
	}
	valid := map[string]bool{}
	for _, v := range c.ValidAttachments {
		valid[ipam.Owner{ID: v.ContainerID, IfName: v.IfName}.String()] = true
	}
	return p.set.table(c.Table, func(t *firewall.Table) error {
		have, err := t.Published(ctx)
		for o, m := range have {
			if !valid[o] && c.serves(m) {
				err = errors.Join(err, t.Unpublish(ctx, o))
			}
		}
		return err
	})
}

// serves says whether ports are published, and of this network's containers.
func (c *PortsConf) serves(all []firewall.Mapping) bool {
	return slices.ContainsFunc(all, func(m firewall.Mapping) bool {
		return m.Link == firewall.Link{} && (len(c.Subnets) == 0 || slices.ContainsFunc(c.Subnets, func(s netip.Prefix) bool { return s.Contains(m.To.Addr()) }))
	})
}

func (p portsPlugin) status(_ context.Context, a *skel.CmdArgs) error {
	c, err := parseConf[PortsConf](a)
	if err != nil {
		return err
	}
	return p.set.table(c.Table, func(*firewall.Table) error { return nil })
}

// mappings sends each port to the container's first address of the host
// address's family.
func mappings(in []PortMapping, r *current.Result) ([]firewall.Mapping, error) {
	var out []firewall.Mapping
	for _, pm := range in {
		proto, err := ports.Protocol(network.IPProtocol(pm.Protocol))
		if pm.Protocol == "" {
			proto, err = ports.Protocol(network.TCP)
		}
		if err != nil {
			return nil, err
		}
		host := netip.IPv4Unspecified()
		if pm.HostIP != "" {
			if host, err = netip.ParseAddr(pm.HostIP); err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage("invalid host IP address: " + pm.HostIP)
			}
		}
		to, ok := addressFor(host, r)
		if !ok {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"cannot publish a port at %s: the container has no address of that family", host))
		}
		m := firewall.Mapping{Proto: proto, To: netip.AddrPortFrom(to, pm.ContainerPort)}
		if pm.HostPort != 0 {
			m.Host = netip.AddrPortFrom(host, pm.HostPort)
		}
		out = append(out, m)
	}
	return out, nil
}

func addressFor(host netip.Addr, r *current.Result) (netip.Addr, bool) {
	for _, p := range addrs(r) {
		if p.Addr().Is4() == host.Is4() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// previous returns the result of the plugin before, which ours pass on.
func previous(c *types.PluginConf) (*current.Result, error) {
	if err := version.ParsePrevResult(c); err != nil {
		return nil, err
	}
	if c.PrevResult == nil {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, "must not be the first plugin of the list", "")
	}
	return current.NewResultFromResult(c.PrevResult)
}

// previousAddrs is for DEL, where there may be none after a crash.
func previousAddrs(c *types.PluginConf) (p []netip.Prefix, known bool) {
	r, err := previous(c)
	if err != nil {
		return nil, false
	}
	return addrs(r), true
}

func addrs(r *current.Result) (out []netip.Prefix) {
	for _, ip := range r.IPs {
		a, ok := netip.AddrFromSlice(ip.Address.IP)
		if ones, _ := ip.Address.Mask.Size(); ok {
			out = append(out, netip.PrefixFrom(a.Unmap(), ones))
		}
	}
	return out
}
