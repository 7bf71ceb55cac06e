package bridge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/berth-engine/berth/pkg/net/dump"
	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Endpoint is one end of a veth pair in a container, the other on a bridge.
type Endpoint struct {
	HostName string           // of the host's end
	Name     string           // of the container's end: eth0
	NetNS    string           // path of the container's network namespace
	Bridge   int              // index of the bridge
	MTU      int              // 0 leaves the kernel's
	MAC      net.HardwareAddr // of the container's end
	Addrs    []netip.Prefix   // with the subnet's length
	Gateways []netip.Addr     // default routes go there; none makes no default route
	Hairpin  bool             // frames may leave by the port that they came in
	Isolated bool             // no frames from and to other isolated ports of the bridge
}

// RulesSeePorts says whether br_netfilter has the firewall decide on frames
// between ports of a bridge, for both IP versions. Then ports need not be
// isolated, and must not: what is translated to a port of the same bridge is not
// routed but bridged (net/bridge/br_netfilter_hooks.c), so that isolated
// neighbours could not reach each other's published ports.
func RulesSeePorts() bool {
	for _, name := range []string{"iptables", "ip6tables"} {
		b, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-" + name)
		if err != nil || strings.TrimSpace(string(b)) == "0" {
			return false
		}
	}
	return true
}

// HostName is the name of the host's end of interface ifName of container id.
// It follows from the two, so that it is found again without a record.
func HostName(id, ifName string) string {
	sum := sha256.Sum256([]byte(id + "/" + ifName))
	return "veth" + hex.EncodeToString(sum[:])[:11] // 15 bytes, the most that the kernel takes
}

// Add makes the pair, and sets the container's end up with its addresses and
// routes. It undoes itself when it fails.
func (e Endpoint) Add() (err error) {
	ns, err := os.Open(e.NetNS)
	if err != nil {
		return fmt.Errorf("opening the network namespace: %w", err)
	}
	defer ns.Close()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	err = e.addPair(h, int(ns.Fd()))
	if err == nil {
		err = netns.At(e.NetNS, e.configure)
	}
	if err == nil {
		err = e.settle(h)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("endpoint %s: %w", e.HostName, err), DeleteLink(e.HostName))
	}
	return nil
}

// addPair makes both ends in one step: the container's is born in its namespace
// with its final name, the host's on the bridge.
func (e Endpoint) addPair(h *netlink.Handle, ns int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex, attrs.TxQLen = e.HostName, e.MTU, e.Bridge, 0
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerMTU = e.Name, uint32(e.MTU)
	veth.PeerNamespace, veth.PeerHardwareAddr = netlink.NsFd(ns), e.MAC
	err := h.LinkAdd(veth)
	if errors.Is(err, syscall.EEXIST) {
		// The name is this endpoint's alone: what has it was left by a crash.
		if err := DeleteLink(e.HostName); err != nil {
			return err
		}
		err = h.LinkAdd(veth)
	}
	if err != nil {
		return fmt.Errorf("making the veth pair: %w", err)
	}
	// A bridge's port needs no address. The link-local one that it would get is
	// announced to all other ports, so that each start would cost every container.
	if err := noLinkLocal(h, veth); err != nil {
		return err
	}
	if e.Hairpin {
		if err := h.LinkSetHairpin(veth, true); err != nil {
			return fmt.Errorf("setting hairpin: %w", err)
		}
	}
	if e.Isolated {
		if err := h.LinkSetIsolated(veth, true); err != nil {
			return fmt.Errorf("isolating it: %w", err)
		}
	}
	if err := h.LinkSetUp(veth); err != nil {
		return fmt.Errorf("setting it up: %w", err)
	}
	return nil
}

// noLinkLocal keeps the kernel from giving link an IPv6 address.
func noLinkLocal(h *netlink.Handle, link netlink.Link) error {
	err := h.LinkSetIP6AddrGenMode(link, nl.IN6_ADDR_GEN_MODE_NONE)
	if err != nil && !errors.Is(err, syscall.EAFNOSUPPORT) { // a kernel without IPv6
		return fmt.Errorf("disabling IPv6 addresses: %w", err)
	}
	return nil
}

// settle makes the kernel act on the pair's new carrier. Left to itself it does
// so in a worker some time later; until then the bridge's port forwards nothing
// and both devices drop what is sent, so that a container's first packet would
// be lost and repeated a second later. Since Linux 6.8 asking for a link's state
// brings it up to date (net/core/rtnetlink.c, rtnl_getlink).
func (e Endpoint) settle(h *netlink.Handle) error {
	if _, err := h.LinkByName(e.HostName); err != nil {
		return err
	}
	_, err := h.LinkByIndex(e.Bridge)
	return err
}

// configure runs in the container's namespace.
func (e Endpoint) configure() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(e.Name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", e.Name, err)
	}
	if !e.has6() {
		// Without an IPv6 address there must be no link-local one either, as
		// Docker has it; and no duplicate address detection to wait for. (Not by
		// disable_ipv6: the kernel finds a namespace's files below /proc/sys/net by
		// looking at those of every other, so that it takes a millisecond more
		// with a few hundred containers.)
		if err := noLinkLocal(h, link); err != nil {
			return err
		}
	} else if err := Sysctl("net/ipv6/conf/"+e.Name+"/accept_ra", "0"); err != nil {
		return err
	}
	for _, a := range e.Addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD // leases are unique already
		}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("adding %s to %s: %w", a, e.Name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", e.Name, err)
	}
	for _, g := range e.Gateways {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: g.AsSlice()}
		// Of several networks the first has it, as with upstream's plugins.
		if err := h.RouteAdd(route); err != nil && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("adding the default route by %s: %w", g, err)
		}
	}
	return nil
}

func (e Endpoint) has6() bool {
	for _, a := range e.Addrs {
		if a.Addr().Is6() {
			return true
		}
	}
	return false
}

// Check says what is wrong with the endpoint, nil when it is as Add
// made it.
func (e Endpoint) Check() error {
	host, err := netlink.LinkByName(e.HostName)
	if err != nil {
		return fmt.Errorf("host interface %s: %w", e.HostName, err)
	}
	if host.Attrs().MasterIndex != e.Bridge {
		return fmt.Errorf("host interface %s is not on its bridge", e.HostName)
	}
	return netns.At(e.NetNS, func() error {
		link, err := netlink.LinkByName(e.Name)
		if err != nil {
			return fmt.Errorf("interface %s: %w", e.Name, err)
		}
		have, err := dump.Read(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
		if err != nil {
			return err
		}
		for _, want := range e.Addrs {
			found := false
			for _, a := range have {
				found = found || a.IPNet.String() == ipNet(want).String()
			}
			if !found {
				return fmt.Errorf("interface %s lacks the address %s", e.Name, want)
			}
		}
		return nil
	})
}

// hostNamePattern is what HostName makes.
var hostNamePattern = regexp.MustCompile(`^veth[0-9a-f]{11}$`)

// Endpoints returns the host's ends that are on the bridge called name; none
// when there is no such bridge.
func Endpoints(name string) (hostNames []string, err error) {
	b, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	links, err := dump.Read(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		n := l.Attrs().Name
		if l.Attrs().MasterIndex == b.Attrs().Index && hostNamePattern.MatchString(n) {
			hostNames = append(hostNames, n)
		}
	}
	return hostNames, nil
}
