package define

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// maxSubnets bounds a network's subnets: each is an address of the bridge and
// an interval in the firewall.
const maxSubnets = 128

// validateIPAM checks what was asked for by itself, with all that is wrong in
// one message, in Docker's words.
func validateIPAM(n *network.Network) error {
	if d := n.IPAM.Driver; d != "default" && d != "null" {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", d))
	}
	if len(n.IPAM.Config) > maxSubnets {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("a network has at most %d subnets", maxSubnets))
	}
	var errs []error
	for i, c := range n.IPAM.Config {
		if !c.Subnet.IsValid() {
			errs = append(errs, errors.New("invalid subnet : invalid CIDR block notation"))
			continue
		}
		errs = append(errs, validateConfig(c)...)
		for _, other := range n.IPAM.Config[:i] {
			if other.Subnet.Overlaps(c.Subnet) {
				errs = append(errs, fmt.Errorf("invalid subnet %s: it overlaps with %s", c.Subnet, other.Subnet))
			}
		}
		if n.EnableIPv4 || c.Subnet.Addr().Is6() {
			continue
		}
		errs = append(errs, fmt.Errorf("invalid subnet %s: IPv4 is not enabled for this network", c.Subnet))
	}
	if len(errs) == 0 {
		return nil
	}
	return errdefs.ErrInvalidArgument.WithMessage("invalid network config:\n" + Sentences(errs))
}

// Sentences joins errors as Docker does: one as it is, several as a list.
func Sentences(errs []error) string {
	if len(errs) == 1 {
		return errs[0].Error()
	}
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = "* " + strings.ReplaceAll(err.Error(), "\n", "\n\t")
	}
	return strings.Join(lines, "\n")
}

func validateConfig(c network.IPAMConfig) (errs []error) {
	if c.Subnet != c.Subnet.Masked() {
		errs = append(errs, fmt.Errorf("invalid subnet %s: it should be %s", c.Subnet, c.Subnet.Masked()))
	}
	if a := c.Subnet.Addr(); a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4In6() || c.Subnet.Bits() == 0 {
		errs = append(errs, fmt.Errorf("invalid subnet %s: its addresses are not those of hosts", c.Subnet))
	}
	if c.Subnet.Addr().BitLen()-c.Subnet.Bits() < 1 {
		errs = append(errs, fmt.Errorf("invalid subnet %s: it has no place for a gateway and a container", c.Subnet))
	}
	errs = append(errs, validateRange(c.IPRange, c.Subnet)...)
	if err := validateAddress(c.Gateway, c.Subnet); err != nil {
		errs = append(errs, fmt.Errorf("invalid gateway %s: %w", c.Gateway, err))
	}
	for _, name := range slices.Sorted(maps.Keys(c.AuxAddress)) {
		if err := validateAddress(c.AuxAddress[name], c.Subnet); err != nil {
			errs = append(errs, fmt.Errorf("invalid auxiliary address %s: %w", name, err))
		}
	}
	return errs
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func validateRange(r, subnet netip.Prefix) (errs []error) {
	if !r.IsValid() {
		return nil
	}
	if r.Addr().Is4() != subnet.Addr().Is4() {
		return []error{fmt.Errorf("invalid ip-range %s: parent subnet is an %s block", r, familyOf(subnet.Addr()))}
	}
	if r.Bits() < subnet.Bits() {
		errs = append(errs, fmt.Errorf("invalid ip-range %s: CIDR block is bigger than its parent subnet %s", r, subnet))
	}
	if r != r.Masked() {
		errs = append(errs, fmt.Errorf("invalid ip-range %s: it should be %s", r, r.Masked()))
	}
	if !subnet.Overlaps(r) {
		errs = append(errs, fmt.Errorf("invalid ip-range %s: parent subnet %s doesn't contain ip-range", r, subnet))
	}
	return errs
}

func validateAddress(a netip.Addr, subnet netip.Prefix) error {
	switch {
	case !a.IsValid():
		return nil
	case a.Is4() != subnet.Addr().Is4():
		return fmt.Errorf("parent subnet is an %s block", familyOf(subnet.Addr()))
	case !subnet.Contains(a):
		return fmt.Errorf("parent subnet %s doesn't contain this address", subnet)
	}
	return nil
}

// Taken is what new subnets must not meet.
type Taken struct {
	Networks []netip.Prefix // of other networks
	Host     []netip.Prefix // of the host's addresses and routes; only for subnets that we choose
}

// Address gives a network the subnets and gateways that were not asked for.
// PermissionDenied, in Docker's words, when a subnet that was is another
// network's or an address is wanted twice; ResourceExhausted when the pools
// have no subnet left.
func Address(n *network.Network, pools []ipam.AddressPool, taken Taken) error {
	for _, c := range n.IPAM.Config {
		if slices.ContainsFunc(taken.Networks, c.Subnet.Overlaps) {
			return errdefs.ErrPermissionDenied.WithMessage(
				"invalid pool request: Pool overlaps with other one on this address space")
		}
	}
	used := slices.Concat(taken.Networks, taken.Host)
	for _, c := range n.IPAM.Config {
		used = append(used, c.Subnet)
	}
	for _, want := range []struct{ enabled, is4 bool }{{n.EnableIPv4, true}, {n.EnableIPv6, false}} {
		has := slices.ContainsFunc(n.IPAM.Config, func(c network.IPAMConfig) bool { return c.Subnet.Addr().Is4() == want.is4 })
		if !want.enabled || has {
			continue
		}
		family := slices.DeleteFunc(slices.Clone(pools), func(p ipam.AddressPool) bool { return p.Base.Addr().Is4() != want.is4 })
		subnet, err := ipam.Choose(family, used)
		if err != nil {
			return err
		}
		n.IPAM.Config = append(n.IPAM.Config, network.IPAMConfig{Subnet: subnet})
	}
	var b Bridge
	if n.Driver == DriverBridge {
		var err error
		if b, err = ParseBridge(n.Options, n.Internal); err != nil {
			return err
		}
	}
	for i := range n.IPAM.Config {
		if c := &n.IPAM.Config[i]; b.Mode(c.Subnet.Addr()) != ModeIsolated {
			if err := gateway(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// gateway is the subnet's first address that is not kept for others.
func gateway(c *network.IPAMConfig) error {
	kept := slices.Collect(maps.Values(c.AuxAddress))
	if c.Gateway.IsValid() {
		if slices.Contains(kept, c.Gateway) || !ipam.Usable(c.Subnet, c.Gateway) {
			return errdefs.ErrPermissionDenied.WithMessage(
				fmt.Sprintf("failed to allocate gateway (%s): Address already in use", c.Gateway))
		}
		return nil
	}
	for a := c.Subnet.Addr(); c.Subnet.Contains(a); a = a.Next() {
		if ipam.Usable(c.Subnet, a) && !slices.Contains(kept, a) {
			c.Gateway = a
			return nil
		}
	}
	return errdefs.ErrPermissionDenied.WithMessage(
		"failed to allocate gateway (): no available addresses in " + c.Subnet.String())
}
