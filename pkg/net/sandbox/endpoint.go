package sandbox

import (
	"net/netip"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// hostNS is where endpoints of the network "host" are.
const hostNS = "/proc/thread-self/ns/net"

// RuntimeConf is what libcni needs to add or remove endpoint i.
func (s *Sandbox) RuntimeConf(i int) *libcni.RuntimeConf {
	e := s.Endpoints[i]
	args := map[string]any{"defaultRoute": i == 0}
	if mac := e.Settings.MacAddress; len(mac) > 0 {
		args["mac"] = mac.String()
	}
	if c := e.Settings.IPAMConfig; c != nil {
		var ips []string
		if c.IPv4Address.IsValid() {
			ips = append(ips, c.IPv4Address.Unmap().String())
		}
		if c.IPv6Address.IsValid() {
			ips = append(ips, c.IPv6Address.String())
		}
		if len(ips) > 0 {
			args["ips"] = ips
		}
	}
	if mappings := s.Mappings(); i == 0 && e.Outward && len(mappings) > 0 {
		args["portMappings"] = mappings
	}
	ns := s.Key
	if ns == "" {
		ns = hostNS
	}
	return &libcni.RuntimeConf{ContainerID: s.ID, NetNS: ns, IfName: e.IfName, CapabilityArgs: args}
}

// Fill takes the addresses from a CNI result.
func (e *Endpoint) Fill(r *current.Result) error {
	for _, i := range r.Interfaces {
		if i.Name == e.IfName && i.Sandbox != "" {
			if err := e.Settings.MacAddress.UnmarshalText([]byte(i.Mac)); err != nil {
				return types.NewError(types.ErrInternal, "invalid MAC address in a CNI result", err.Error())
			}
		}
	}
	for _, ip := range r.IPs {
		a, _ := netip.AddrFromSlice(ip.Address.IP)
		gw, _ := netip.AddrFromSlice(ip.Gateway)
		a, gw = a.Unmap(), gw.Unmap() // no gateway: zero
		ones, _ := ip.Address.Mask.Size()
		switch {
		case a.Is4() && !e.Settings.IPAddress.IsValid():
			e.Settings.IPAddress, e.Settings.IPPrefixLen, e.Settings.Gateway = a, ones, gw
		case a.Is6() && !e.Settings.GlobalIPv6Address.IsValid():
			e.Settings.GlobalIPv6Address, e.Settings.GlobalIPv6PrefixLen, e.Settings.IPv6Gateway = a, ones, gw
		}
	}
	return nil
}
