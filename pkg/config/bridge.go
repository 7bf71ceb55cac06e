package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// DefaultBridge is what is said of the default network's addresses.
type DefaultBridge struct {
	IPv6   bool         // it has IPv6
	V4, V6 BridgeSubnet // V6 is zero without IPv6
}

// BridgeSubnet is what is said of one of its subnets; what is zero is chosen.
type BridgeSubnet struct {
	BIP     netip.Prefix // the bridge's address, with the subnet's length
	Range   netip.Prefix // where containers' addresses come from
	Gateway netip.Addr   // of containers, when that is not the bridge
}

// bridgeSettings are a DefaultBridge, unparsed.
type bridgeSettings struct {
	ipv6              bool
	bip, bip6         string
	fixed, fixed6     string
	gateway, gateway6 string
}

func (b *bridgeSettings) options() []*option {
	return []*option{
		{flag: "bip", key: "bip", dst: &b.bip, usage: "Address of that bridge with its subnet, such as 172.20.0.1/16 (default: a subnet that no route of the host meets)"},
		{flag: "bip6", key: "bip6", dst: &b.bip6, usage: "The same for IPv6, such as fd00:1::1/64"},
		{flag: "fixed-cidr", key: "fixed-cidr", dst: &b.fixed, usage: "Part of that subnet where containers' addresses come from; without --bip the subnet itself"},
		{flag: "fixed-cidr-v6", key: "fixed-cidr-v6", dst: &b.fixed6, usage: "The same for IPv6"},
		{flag: "default-gateway", key: "default-gateway", dst: &b.gateway, usage: "Address in that subnet that containers' default route leads to (default: the bridge's)"},
		{flag: "default-gateway-v6", key: "default-gateway-v6", dst: &b.gateway6, usage: "The same for IPv6"},
		{flag: "ipv6", key: "ipv6", dst: &b.ipv6, usage: "The default network has IPv6, too"},
	}
}

// resolve checks what can be without knowing the host.
func (b *bridgeSettings) resolve(bridge string) (d DefaultBridge, err error) {
	d.IPv6 = b.ipv6
	for _, f := range []struct {
		bip, fixed, gateway string // names
		values              [3]string
		is4                 bool
		dst                 *BridgeSubnet
	}{
		{"bip", "fixed-cidr", "default-gateway", [3]string{b.bip, b.fixed, b.gateway}, true, &d.V4},
		{"bip6", "fixed-cidr-v6", "default-gateway-v6", [3]string{b.bip6, b.fixed6, b.gateway6}, false, &d.V6},
	} {
		for i, name := range []string{f.bip, f.fixed, f.gateway} {
			switch {
			case f.values[i] == "":
			case bridge == "none":
				return d, fmt.Errorf("%s: there is no bridge to have an address, since bridge is none", name)
			case !f.is4 && !b.ipv6:
				return d, fmt.Errorf("%s: the default network has no IPv6; ipv6 turns it on", name)
			}
		}
		if f.dst.BIP, err = bridgeAddress(f.bip, f.values[0], f.is4); err != nil {
			return d, err
		}
		if f.dst.Range, err = fixedRange(f.fixed, f.values[1], f.is4); err != nil {
			return d, err
		}
		if f.dst.Gateway, err = bridgeGateway(f.gateway, f.values[2], f.is4); err != nil {
			return d, err
		}
		if err := f.dst.check(f.bip, f.fixed, f.gateway); err != nil {
			return d, err
		}
	}
	if b.ipv6 && bridge == "none" {
		return d, errors.New("ipv6: there is no bridge to have an address, since bridge is none")
	}
	return d, nil
}

// check compares what is said of the same subnet.
func (s *BridgeSubnet) check(bip, fixed, gateway string) error {
	subnet := s.BIP.Masked()
	if s.BIP.IsValid() && s.Range.IsValid() && (!subnet.Contains(s.Range.Addr()) || s.Range.Bits() < subnet.Bits()) {
		return fmt.Errorf("%s: %s is not a part of %s, the subnet of %s", fixed, s.Range, subnet, bip)
	}
	if s.BIP.IsValid() && s.Gateway.IsValid() && !subnet.Contains(s.Gateway) {
		return fmt.Errorf("%s: %s is not in %s, the subnet of %s", gateway, s.Gateway, subnet, bip)
	}
	return nil
}

// family says whether an address is of the one that is meant.
func family(name string, what fmt.Stringer, a netip.Addr, is4 bool) error {
	switch {
	case is4 && !a.Is4():
		return fmt.Errorf("%s: %s is not IPv4", name, what)
	case !is4 && (!a.Is6() || a.Is4In6() || a.Zone() != ""):
		return fmt.Errorf("%s: %s is not IPv6", name, what)
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is6() && a.IsLinkLocalUnicast():
		return fmt.Errorf("%s: %s is not for the addresses of hosts", name, what)
	}
	return nil
}

func bridgeAddress(name, s string, is4 bool) (p netip.Prefix, err error) {
	if s == "" {
		return p, nil
	}
	if p, err = netip.ParsePrefix(s); err != nil {
		example := "172.20.0.1/16"
		if !is4 {
			example = "fd00:1::1/64"
		}
		return p, fmt.Errorf("%s: %q is not an address with its prefix length, such as %s", name, s, example)
	}
	if err := family(name, p, p.Addr(), is4); err != nil {
		return p, err
	}
	switch {
	case p.Bits() > p.Addr().BitLen()-2:
		return p, fmt.Errorf("%s: %s leaves no address for containers", name, p)
	case p.Addr() == p.Masked().Addr():
		return p, fmt.Errorf("%s: %s is the network's own address; the first free one is %s/%d", name, p, p.Addr().Next(), p.Bits())
	case is4 && broadcast(p) == p.Addr():
		return p, fmt.Errorf("%s: %s is the network's broadcast address", name, p)
	}
	return p, nil
}

// fixedRange: bits behind its length are left out, as dockerd does.
func fixedRange(name, s string, is4 bool) (p netip.Prefix, err error) {
	if s == "" {
		return p, nil
	}
	if p, err = netip.ParsePrefix(s); err != nil {
		return p, fmt.Errorf("%s: %q is not a range of addresses, such as 172.20.1.0/24", name, s)
	}
	p = p.Masked()
	if p.Bits() == 0 {
		return p, fmt.Errorf("%s: %s is not for the addresses of hosts", name, p)
	}
	return p, family(name, p, p.Addr(), is4)
}

func bridgeGateway(name, s string, is4 bool) (a netip.Addr, err error) {
	if s == "" {
		return a, nil
	}
	if a, err = netip.ParseAddr(s); err != nil {
		return a, fmt.Errorf("%s: %q is not an IP address", name, s)
	}
	return a, family(name, a, a, is4)
}

// networkOptions are options of new networks by driver: the flag's are
// DRIVER=KEY=VALUE.
type networkOptions map[string]map[string]string

func (n *networkOptions) Set(v string) error {
	driver, option, _ := strings.Cut(v, "=")
	key, value, ok := strings.Cut(option, "=")
	if driver == "" || key == "" || !ok {
		return fmt.Errorf("%q is not DRIVER=KEY=VALUE", v)
	}
	if (*n)[driver] == nil {
		(*n)[driver] = map[string]string{}
	}
	(*n)[driver][key] = value
	return nil
}

func (*networkOptions) Type() string { return "map" }
func (n *networkOptions) String() string {
	if len(*n) == 0 {
		return ""
	}
	return fmt.Sprint(map[string]map[string]string(*n))
}

func (n networkOptions) check() error {
	drivers := []string{"bridge", "ipvlan", "macvlan"}
	for _, driver := range slices.Sorted(maps.Keys(n)) {
		if !slices.Contains(drivers, driver) {
			return fmt.Errorf("default-network-opts: networks are not made by the driver %q; there are %s", driver, strings.Join(drivers, ", "))
		}
	}
	return nil
}
