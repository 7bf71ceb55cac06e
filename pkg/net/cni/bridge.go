package cni

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// BridgeConf is the configuration of berth-bridge: a veth pair from the
// container to a bridge, with addresses.
type BridgeConf struct {
	types.PluginConf
	Bridge   string `json:"bridge"`
	MTU      int    `json:"mtu,omitempty"`      // 0 leaves the kernel's
	Internal bool   `json:"internal,omitempty"` // containers get no default route
	// Isolated containers do not reach each other over the bridge: by the bridge's
	// own doing, where the firewall's rules do not see frames between its ports.
	Isolated bool `json:"isolated,omitempty"`
	IPAM     IPAM `json:"ipam"`
	Runtime  struct {
		IPs          []string `json:"ips"`          // static addresses; a length is ignored
		MAC          string   `json:"mac"`          // "" derives one from the address
		DefaultRoute *bool    `json:"defaultRoute"` // absent: true
	} `json:"runtimeConfig"`
}

// IPAM is its address management, which is built in.
type IPAM struct {
	DataDir string   `json:"dataDir,omitempty"` // of the leases; "" is /run/berth-cni/<network>
	Subnets []Subnet `json:"subnets"`
}

// Subnet is one subnet of a network.
type Subnet struct {
	Subnet   netip.Prefix `json:"subnet"`
	Range    netip.Prefix `json:"range,omitzero"`    // of dynamic addresses; zero is the subnet
	Gateway  netip.Addr   `json:"gateway,omitzero"`  // the bridge's address; zero is none
	Reserved []netip.Addr `json:"reserved,omitzero"` // never given out
	// Router is where containers' default route leads; zero is to the gateway.
	Router netip.Addr `json:"router,omitzero"`
	// Elsewhere says that the gateway is not the bridge, but somebody on it.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// router is where the default route leads; zero is nowhere.
func (s Subnet) router() netip.Addr {
	if s.Router.IsValid() {
		return s.Router
	}
	return s.Gateway
}

const defaultDataDir = "/run/berth-cni"

type bridgePlugin struct{ set *Set }

func (p bridgePlugin) conf(a *skel.CmdArgs) (*BridgeConf, []*ipam.Pool, error) {
	c, pools, err := p.set.addressing(a)
	if err == nil && c.Bridge == "" {
		err = types.NewError(types.ErrInvalidNetworkConfig, "berth-bridge needs bridge", "")
	}
	return c, pools, err
}

// addressing reads a configuration that has subnets.
func (s *Set) addressing(a *skel.CmdArgs) (*BridgeConf, []*ipam.Pool, error) {
	c, err := parseConf[BridgeConf](a)
	if err != nil {
		return nil, nil, err
	}
	if len(c.IPAM.Subnets) == 0 {
		return nil, nil, types.NewError(types.ErrInvalidNetworkConfig, "ipam.subnets is missing", "")
	}
	if c.IPAM.DataDir == "" {
		c.IPAM.DataDir = filepath.Join(defaultDataDir, c.Name)
	}
	pools := make([]*ipam.Pool, len(c.IPAM.Subnets))
	for i, n := range c.IPAM.Subnets {
		if pools[i], err = s.pool(c.IPAM.DataDir, n); err != nil {
			return nil, nil, err
		}
	}
	return c, pools, nil
}

// pool returns the one pool of the subnet in this process.
func (s *Set) pool(dir string, n Subnet) (*ipam.Pool, error) {
	key := fmt.Sprintf("%s %s %s %s %s", dir, n.Subnet, n.Range, n.Gateway, n.Reserved)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.pools[key]; ok {
		return p, nil
	}
	reserved := n.Reserved
	if n.Gateway.IsValid() {
		reserved = append(reserved[:len(reserved):len(reserved)], n.Gateway)
	}
	p, err := ipam.New(ipam.Config{Dir: dir, Subnet: n.Subnet, Range: n.Range, Reserved: reserved})
	if err == nil {
		s.pools[key] = p
	}
	return p, err
}

// Usage returns how many addresses of the subnet are in use, and how many
// dynamic ones are left.
func (s *Set) Usage(dir string, n Subnet) (inUse, available uint64, err error) {
	p, err := s.pool(dir, n)
	if err != nil {
		return 0, 0, err
	}
	inUse, available = p.Usage()
	return inUse, available, nil
}

// Forget drops what is held in memory of a folder of leases, which its network
// has no more use for.
func (s *Set) Forget(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.pools, func(key string, _ *ipam.Pool) bool { return strings.HasPrefix(key, dir+" ") })
}

func owner(a *skel.CmdArgs) ipam.Owner { return ipam.Owner{ID: a.ContainerID, IfName: a.IfName} }

func (p bridgePlugin) add(_ context.Context, a *skel.CmdArgs) (_ types.Result, err error) {
	c, pools, err := p.conf(a)
	if err != nil {
		return nil, err
	}
	index, err := c.device().Index()
	if err != nil {
		return nil, err
	}
	e, err := p.endpoint(a, c)
	if err != nil {
		return nil, err
	}
	e.Bridge = index
	defer func() {
		if err != nil {
			err = errors.Join(err, release(pools, e.Addrs, owner(a)))
		}
	}()
	if err := e.lease(c, pools, owner(a)); err != nil {
		return nil, err
	}
	if e.MAC == nil {
		e.MAC = bridge.MAC(e.Addrs[0].Addr())
	}
	if err := e.Add(); err != nil {
		return nil, err
	}
	return e.result(c, a), nil
}

// endpoint is one as its configuration and its leases give it.
type endpoint struct {
	bridge.Endpoint
	subnets []Subnet // of each of Addrs
}

// lease gives e one address a family: the one that was asked for, or one of
// the first subnet that has any left. What it leased before it failed is in e.
func (e *endpoint) lease(c *BridgeConf, pools []*ipam.Pool, o ipam.Owner) error {
	static, err := staticIPs(c)
	if err != nil {
		return err
	}
	for _, is4 := range []bool{true, false} {
		var full error
		for i, n := range c.IPAM.Subnets {
			if n.Subnet.Addr().Is4() != is4 || wantsOther(static, i, is4) {
				continue
			}
			addr, err := pools[i].Lease(static[i], o)
			if errdefs.IsResourceExhausted(err) {
				full = err
				continue
			}
			if err != nil {
				return err
			}
			e.Addrs, e.subnets = append(e.Addrs, netip.PrefixFrom(addr, n.Subnet.Bits())), append(e.subnets, n)
			full = nil
			break
		}
		if full != nil {
			return full
		}
	}
	if c.Internal || c.Runtime.DefaultRoute != nil && !*c.Runtime.DefaultRoute {
		return nil
	}
	for _, n := range e.subnets {
		if g := n.router(); g.IsValid() {
			e.Gateways = append(e.Gateways, g)
		}
	}
	return nil
}

// wantsOther says whether an address of the family was asked for in another
// subnet than the i-th.
func wantsOther(static []netip.Addr, i int, is4 bool) bool {
	return !static[i].IsValid() && slices.ContainsFunc(static, func(a netip.Addr) bool { return a.IsValid() && a.Is4() == is4 })
}

func (p bridgePlugin) endpoint(a *skel.CmdArgs, c *BridgeConf) (*endpoint, error) {
	e := &endpoint{Endpoint: bridge.Endpoint{
		HostName: bridge.HostName(a.ContainerID, a.IfName),
		Name:     a.IfName, NetNS: a.Netns, MTU: c.MTU, Hairpin: true, Isolated: c.Isolated && !bridge.RulesSeePorts(),
	}}
	if c.Runtime.MAC != "" {
		mac, err := net.ParseMAC(c.Runtime.MAC)
		if err != nil || len(mac) != 6 {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid MAC address: " + c.Runtime.MAC)
		}
		e.MAC = mac
	}
	return e, nil
}

func (c *BridgeConf) device() bridge.Bridge {
	b := bridge.Bridge{Name: c.Bridge, MTU: c.MTU}
	for _, s := range c.IPAM.Subnets {
		if s.Gateway.IsValid() && !s.Elsewhere {
			b.Gateways = append(b.Gateways, netip.PrefixFrom(s.Gateway, s.Subnet.Bits()))
		}
	}
	return b
}

// staticIPs returns the address that each subnet is to lease; zero is any.
func staticIPs(c *BridgeConf) ([]netip.Addr, error) {
	out := make([]netip.Addr, len(c.IPAM.Subnets))
next:
	for _, s := range c.Runtime.IPs {
		a, err := netip.ParseAddr(s)
		if p, perr := netip.ParsePrefix(s); perr == nil {
			a, err = p.Addr(), nil
		}
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid IP address: " + s)
		}
		for i, n := range c.IPAM.Subnets {
			if n.Subnet.Contains(a) {
				out[i] = a
				continue next
			}
		}
		return nil, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("no configured subnet or ip-range contain the IP address %s", a))
	}
	return out, nil
}

func (e *endpoint) result(c *BridgeConf, a *skel.CmdArgs) *current.Result {
	r := e.addresses(c)
	r.Interfaces = []*current.Interface{
		{Name: c.Bridge}, {Name: e.HostName}, {Name: e.Name, Mac: e.MAC.String(), Mtu: e.MTU, Sandbox: a.Netns},
	}
	for _, ip := range r.IPs {
		ip.Interface = current.Int(2) // the container's
	}
	return r
}

// addresses is a result that has no interfaces.
func (e *endpoint) addresses(c *BridgeConf) *current.Result {
	r := &current.Result{CNIVersion: current.ImplementedSpecVersion}
	for i, p := range e.Addrs {
		ip := &current.IPConfig{Address: net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if g := e.subnets[i].router(); g.IsValid() && !c.Internal {
			ip.Gateway = g.AsSlice()
		}
		r.IPs = append(r.IPs, ip)
	}
	for _, g := range e.Gateways {
		any4 := net.IPNet{IP: make(net.IP, g.BitLen()/8), Mask: make(net.IPMask, g.BitLen()/8)}
		r.Routes = append(r.Routes, &types.Route{Dst: any4, GW: g.AsSlice()})
	}
	return r
}

// del: the veth pair goes before the address, which another container may have
// the moment it is free.
func (p bridgePlugin) del(_ context.Context, a *skel.CmdArgs) error {
	c, pools, err := p.conf(a)
	if err != nil {
		return err
	}
	if err := p.set.deleteLink(bridge.HostName(a.ContainerID, a.IfName)); err != nil {
		return err
	}
	addrs, known := previousAddrs(&c.PluginConf)
	if known {
		return release(pools, addrs, owner(a))
	}
	for _, pool := range pools {
		err = errors.Join(err, pool.ReleaseIf(func(o ipam.Owner) bool { return o == owner(a) }))
	}
	return err
}

func release(pools []*ipam.Pool, addrs []netip.Prefix, o ipam.Owner) (err error) {
	for _, a := range addrs {
		for _, pool := range pools {
			err = errors.Join(err, pool.Release(a.Addr(), o)) // not of this pool: absent
		}
	}
	return err
}

func (p bridgePlugin) check(_ context.Context, a *skel.CmdArgs) error {
	c, _, err := p.conf(a)
	if err != nil {
		return err
	}
	index, err := c.device().Index()
	if err != nil {
		return err
	}
	e, err := p.endpoint(a, c)
	if err != nil {
		return err
	}
	e.Bridge = index
	e.Addrs, _ = previousAddrs(&c.PluginConf)
	return e.Check()
}

func (p bridgePlugin) gc(_ context.Context, a *skel.CmdArgs) error {
	c, pools, err := p.conf(a)
	if err != nil {
		return err
	}
	valid := map[ipam.Owner]bool{}
	keep := map[string]bool{}
	for _, v := range c.ValidAttachments {
		valid[ipam.Owner{ID: v.ContainerID, IfName: v.IfName}] = true
		keep[bridge.HostName(v.ContainerID, v.IfName)] = true
	}
	ends, err := bridge.Endpoints(c.Bridge)
	for _, end := range ends {
		if !keep[end] {
			err = errors.Join(err, p.set.deleteLink(end))
		}
	}
	for _, pool := range pools {
		err = errors.Join(err, pool.ReleaseIf(func(o ipam.Owner) bool { return !valid[o] }))
	}
	return err
}

func (p bridgePlugin) status(_ context.Context, a *skel.CmdArgs) error {
	_, _, err := p.conf(a)
	return err
}
