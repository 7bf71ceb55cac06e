package bridge

import (
	"fmt"
	"net/netip"

	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/vishvananda/netlink"
)

// DefaultRoute leads out of a namespace.
type DefaultRoute struct {
	IfName  string
	Gateway netip.Addr
}

// SetDefaultRoutes makes routes the default ones of the namespace at path, in
// place of others of their families.
func SetDefaultRoutes(path string, routes []DefaultRoute) error {
	if len(routes) == 0 {
		return nil
	}
	return netns.At(path, func() error {
		for _, r := range routes {
			link, err := netlink.LinkByName(r.IfName)
			if err == nil {
				// The gateway is on the link's own subnet, which a route of the
				// same address on another network must not hide.
				err = netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: r.Gateway.AsSlice()})
			}
			if err != nil {
				return fmt.Errorf("setting the default route by %s at %s: %w", r.Gateway, r.IfName, err)
			}
		}
		return nil
	})
}

// AddAddresses gives the interface called name of the calling thread's
// namespace further addresses.
func AddAddresses(name string, addrs []netip.Prefix) error {
	for _, a := range addrs {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(a)})
		}
		if err != nil {
			return fmt.Errorf("adding %s to %s: %w", a, name, err)
		}
	}
	return nil
}
