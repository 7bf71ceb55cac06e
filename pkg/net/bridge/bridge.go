package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/berth-engine/berth/pkg/net/dump"
	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Bridge describes a network's bridge.
type Bridge struct {
	Name     string
	Gateways []netip.Prefix // the bridge's own addresses, with the subnet's length
	MTU      int            // 0 leaves the kernel's
}

// Ensure makes the bridge, or completes what exists of it, and returns its
// index. An address of another subnet that the bridge has is left alone.
func (b Bridge) Ensure() (index int, err error) {
	link, err := netlink.LinkByName(b.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		link, err = b.create()
	}
	if err != nil {
		return 0, fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	if link.Type() != "bridge" {
		return 0, errdefs.ErrFailedPrecondition.WithMessage(
			fmt.Sprintf("interface %s exists and is no bridge but a %s", b.Name, link.Type()))
	}
	if err := b.setAddresses(link); err != nil {
		return 0, fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return 0, fmt.Errorf("setting bridge %s up: %w", b.Name, err)
		}
	}
	if err := b.setSysctls(); err != nil {
		return 0, err
	}
	return link.Attrs().Index, nil
}

// Index returns the bridge's index if it is there and up, else calls Ensure.
// This is what each endpoint pays; the rest is paid once.
func (b Bridge) Index() (int, error) {
	link, err := netlink.LinkByName(b.Name)
	if err == nil && link.Type() == "bridge" && link.Attrs().Flags&net.FlagUp != 0 {
		return link.Attrs().Index, nil
	}
	return b.Ensure()
}

func (b Bridge) create() (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = b.Name, b.MTU
	// A bridge without an address of its own takes the lowest of its ports':
	// it would change under the containers' ARP caches as they come and go.
	if len(b.Gateways) > 0 {
		attrs.HardwareAddr = MAC(b.Gateways[0].Addr())
	}
	err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	if err != nil && !errors.Is(err, syscall.EEXIST) { // another start made it meanwhile
		return nil, err
	}
	// Its addresses are nobody else's. While the kernel looks for duplicates of
	// the link-local one, a second and more, it asks for no neighbour and so
	// forwards nothing to containers (net/ipv6/ndisc.c, ndisc_send_ns).
	err = Sysctl("net/ipv6/conf/"+b.Name+"/accept_dad", "0")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil, err
	}
	return netlink.LinkByName(b.Name)
}

func (b Bridge) setAddresses(link netlink.Link) error {
	for _, g := range b.Gateways {
		err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(g)})
		if err != nil && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("adding %s: %w", g, err)
		}
	}
	return nil
}

// setSysctls: 127.0.0.1 as a source must be able to leave through the bridge,
// which is how the host reaches a published port at localhost. The firewall's
// raw chain answers for the hole that route_localnet alone would be
// (CVE-2020-8558), and has the host forward packets, which it guards as well.
func (b Bridge) setSysctls() error {
	if len(b.Gateways) == 0 {
		return nil
	}
	return Sysctl("net/ipv4/conf/"+b.Name+"/route_localnet", "1")
}

// AnswerForNeighbours has the host answer to its neighbours' questions for each
// other's IPv4 addresses, and so forward what they send each other, as the firewall
// lets it (Linux, Documentation/networking/ip-sysctl.rst, proxy_arp_pvlan).
func (b Bridge) AnswerForNeighbours() error {
	return errors.Join(Sysctl("net/ipv4/neigh/"+b.Name+"/proxy_delay", "0"),
		Sysctl("net/ipv4/conf/"+b.Name+"/proxy_arp_pvlan", "1"))
}

// Delete removes the bridge. Absent is no error.
func (b Bridge) Delete() error {
	return DeleteLink(b.Name)
}

// Leave takes the bridge's addresses off it, and leaves it, which is somebody
// else's, where it is. Absent is no error.
func (b Bridge) Leave() error {
	link, err := netlink.LinkByName(b.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	for _, g := range b.Gateways {
		err := netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(g)})
		if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("bridge %s: removing %s: %w", b.Name, g, err)
		}
	}
	return nil
}

// Exists says whether an interface is called name.
func Exists(name string) (bool, error) {
	_, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return false, nil
	}
	return err == nil, err
}

// Existing returns the first address of a family that the bridge called name has,
// IPv6's link-local one left out. NotFound when there is no such bridge or it has none.
func Existing(name string, is4 bool) (netip.Prefix, error) {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return netip.Prefix{}, fmt.Errorf("bridge %s: %w", name, errdefs.ErrNotFound)
	}
	if err != nil {
		return netip.Prefix{}, err
	}
	wanted := netlink.FAMILY_V6
	if is4 {
		wanted = netlink.FAMILY_V4
	}
	addrs, err := dump.Read(func() ([]netlink.Addr, error) { return netlink.AddrList(link, wanted) })
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if ip = ip.Unmap(); ok && (is4 || !ip.IsLinkLocalUnicast()) {
			ones, _ := a.Mask.Size()
			return netip.PrefixFrom(ip, ones), nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("address of bridge %s: %w", name, errdefs.ErrNotFound)
}

// DefaultMTU is the MTU of the default route's device, or 1500 without one.
func DefaultMTU() int {
	routes, err := dump.Read(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return 1500
	}
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones != 0 {
				continue
			}
		}
		index := r.LinkIndex
		if len(r.MultiPath) > 0 {
			index = r.MultiPath[0].LinkIndex
		}
		if link, err := netlink.LinkByIndex(index); err == nil && link.Attrs().MTU > 0 {
			return link.Attrs().MTU
		}
	}
	return 1500
}

// Sysctl sets a value below /proc/sys of the calling thread's network
// namespace. Where it cannot be written it must have that value already.
func Sysctl(name, value string) error {
	path := filepath.Join("/proc/sys", name)
	err := os.WriteFile(path, []byte(value), 0o644)
	if err == nil {
		return nil
	}
	if have, rerr := os.ReadFile(path); rerr == nil && strings.TrimSpace(string(have)) == value {
		return nil
	}
	return fmt.Errorf("setting sysctl: %w", err)
}

// MAC derives the hardware address of the owner of ip, as Docker does:
// 02:42 and the IPv4 address. An address that is used again then has the MAC
// that the neighbours' caches still hold. For IPv6 the last four bytes serve.
func MAC(ip netip.Addr) net.HardwareAddr {
	b := ip.AsSlice()
	return append(net.HardwareAddr{0x02, 0x42}, b[len(b)-4:]...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// DeleteLink removes the interface called name, and its peer, and waits until
// the kernel has freed both. Absent is no error.
func DeleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, syscall.ENODEV) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting interface %s: %w", name, err)
	}
	return nil
}
