package ipam

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/pkg/net/dump"
	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddressPool is a block that subnets of Size bits are cut from, as dockerd's
// default-address-pools.
type AddressPool struct {
	Base netip.Prefix `json:"base"`
	Size int          `json:"size"`
}

// DefaultPools are Docker's: 172.17/16 to 172.31/16, then 192.168/16 in /20s.
func DefaultPools() []AddressPool {
	return []AddressPool{
		{netip.MustParsePrefix("172.17.0.0/16"), 16},
		{netip.MustParsePrefix("172.18.0.0/16"), 16},
		{netip.MustParsePrefix("172.19.0.0/16"), 16},
		{netip.MustParsePrefix("172.20.0.0/14"), 16},
		{netip.MustParsePrefix("172.24.0.0/14"), 16},
		{netip.MustParsePrefix("172.28.0.0/14"), 16},
		{netip.MustParsePrefix("192.168.0.0/16"), 20},
	}
}

// UniqueLocal is the pool that IPv6 subnets are chosen of when none is
// configured, as dockerd has it: /64s of a unique local /48 (RFC 4193) whose
// global ID follows from seed, so that hosts differ and one stays the same.
func UniqueLocal(seed string) AddressPool {
	sum := sha256.Sum256([]byte(seed))
	var b [16]byte
	b[0] = 0xfd
	copy(b[1:6], sum[:])
	return AddressPool{netip.PrefixFrom(netip.AddrFrom16(b), 48), 64}
}

// Usable says whether an interface in subnet can have the address a: the
// network's and IPv4's broadcast address are nobody's. A subnet of two has
// neither (RFC 3021, RFC 6164).
func Usable(subnet netip.Prefix, a netip.Addr) bool {
	if !subnet.Contains(a) {
		return false
	}
	if subnet.Bits() >= subnet.Addr().BitLen()-1 {
		return true
	}
	// For IPv6 the first is the routers' anycast address (RFC 4291).
	return a != subnet.Masked().Addr() && (a.Is6() || a != lastAddr(subnet))
}

// Choose returns the first subnet of pools that overlaps nothing in used.
// ResourceExhausted, in Docker's words, when there is none.
func Choose(pools []AddressPool, used []netip.Prefix) (netip.Prefix, error) {
	for _, pool := range pools {
		base := pool.Base.Masked()
		for subnet := netip.PrefixFrom(base.Addr(), pool.Size); subnet.IsValid() && base.Contains(subnet.Addr()); {
			i := slices.IndexFunc(used, subnet.Overlaps)
			if i < 0 {
				return subnet, nil
			}
			// Go on behind the larger of the two, so that a /8 in the host's
			// routes is stepped over at once.
			taken := subnet
			if used[i].Bits() < subnet.Bits() {
				taken = used[i]
			}
			subnet = netip.PrefixFrom(lastAddr(taken).Next(), pool.Size)
		}
	}
	return netip.Prefix{}, errdefs.ErrResourceExhausted.WithMessage(
		"all predefined address pools have been fully subnetted")
}

// ValidatePools refuses pools that cannot be cut, as they come from daemon.json.
func ValidatePools(pools []AddressPool) error {
	for _, p := range pools {
		if !p.Base.IsValid() || p.Size < p.Base.Bits() || p.Size > p.Base.Addr().BitLen() {
			return errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("invalid default-address-pool %s: size %d is not inside the base", p.Base, p.Size))
		}
	}
	return nil
}

// HostPrefixes returns what the host's interfaces and routes use, except the
// link named ignore. Default routes are left out, they overlap everything.
func HostPrefixes(ignore string) ([]netip.Prefix, error) {
	skip := -1
	if l, err := netlink.LinkByName(ignore); err == nil {
		skip = l.Attrs().Index
	}
	addrs, err := dump.Read(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("listing the host's addresses: %w", err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok && a.LinkIndex != skip {
			out = append(out, p)
		}
	}
	// Every table: policy routing (a VPN's, say) counts as well.
	routes, err := dump.Read(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("listing the host's routes: %w", err)
	}
	for _, r := range routes {
		if r.Type != unix.RTN_UNICAST && r.Type != unix.RTN_LOCAL || r.LinkIndex == skip {
			continue
		}
		if p, ok := prefixOf(r.Dst); ok && p.Bits() > 0 {
			out = append(out, p)
		}
	}
	return out, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), ones).Masked(), true
}
