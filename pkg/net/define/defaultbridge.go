package define

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// BridgeSubnet is what is configured of a subnet of the default bridge's; what is zero
// is chosen.
type BridgeSubnet struct {
	BIP     netip.Prefix // the bridge's address, with the subnet's length
	Range   netip.Prefix // where containers' addresses come from
	Gateway netip.Addr   // of containers, when that is not the bridge
}

// Config completes it. existing is the bridge's address, recorded the one that it had;
// pools are those of the family and used what the host uses otherwise. InvalidArgument
// when the settings do not fit each other or the bridge; ResourceExhausted when the
// pools have no subnet left.
func (s BridgeSubnet) Config(existing, recorded netip.Prefix, pools []ipam.AddressPool, used []netip.Prefix) (c network.IPAMConfig, err error) {
	address, err := s.address(existing, recorded, pools, used)
	if err != nil {
		return c, err
	}
	c = network.IPAMConfig{Subnet: address.Masked(), Gateway: address.Addr(), IPRange: s.Range}
	if s.Gateway.IsValid() && s.Gateway != c.Gateway {
		if !ipam.Usable(c.Subnet, s.Gateway) {
			return c, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("default gateway ip must be part of the network: %s is not of %s", s.Gateway, c.Subnet))
		}
		c.AuxAddress = map[string]netip.Addr{AuxGateway(s.Gateway): s.Gateway}
	}
	return c, nil
}

// address decides the bridge's: what is configured; what it has, since containers may
// be on it; what it had, if the host has not begun to use that otherwise; or the first
// of a free subnet. A range without an address is, as in dockerd, of the bridge's subnet
// where the two meet, and else the subnet.
func (s BridgeSubnet) address(existing, recorded netip.Prefix, pools []ipam.AddressPool, used []netip.Prefix) (netip.Prefix, error) {
	switch {
	case s.BIP.IsValid():
		return s.BIP, s.validate()
	case existing.IsValid() && (!s.Range.IsValid() || s.Range.Overlaps(existing)):
		if s.Range.IsValid() {
			existing = netip.PrefixFrom(existing.Addr(), min(existing.Bits(), s.Range.Bits()))
		}
		return existing, nil
	case s.Range.IsValid():
		first := s.Range.Masked().Addr().Next()
		if first == s.Gateway {
			first = first.Next()
		}
		if s.Range.Bits() > first.BitLen()-2 {
			return s.Range, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("invalid fixed-cidr %s: it leaves no address for containers", s.Range))
		}
		return netip.PrefixFrom(first, s.Range.Bits()), nil
	case recorded.IsValid() && !slices.ContainsFunc(used, recorded.Overlaps):
		return recorded, nil
	}
	subnet, err := ipam.Choose(pools, used)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(subnet.Addr().Next(), subnet.Bits()), nil
}

// validate checks a subnet whose address is configured.
func (s BridgeSubnet) validate() error {
	subnet := s.BIP.Masked()
	if s.BIP.Addr() == subnet.Addr() || s.BIP.Bits() > s.BIP.Addr().BitLen()-2 {
		return errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("invalid bip %s: it must be an address inside a subnet", s.BIP))
	}
	if s.Range.IsValid() && (!subnet.Contains(s.Range.Addr()) || s.Range.Bits() < subnet.Bits()) {
		return errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("invalid fixed-cidr %s: it must be a part of the bridge's subnet %s", s.Range, subnet))
	}
	return nil
}
