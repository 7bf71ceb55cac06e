package bridge

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

// Parent is the host's interface that the containers of a macvlan or ipvlan
// network share.
type Parent struct {
	Name string
	VLAN int    // makes it, if it is not there, that VLAN's on Of
	Of   string // "" makes it one that leads nowhere
}

// Ensure makes the interface if it is not there.
func (p Parent) Ensure() error {
	there, err := Exists(p.Name)
	if err != nil || there {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = p.Name
	// A pair that is joined to nobody: a dummy, which Docker makes, is a module
	// that not every kernel has.
	var link netlink.Link = &netlink.Veth{LinkAttrs: attrs, PeerName: p.peer()}
	if p.Of != "" {
		on, err := netlink.LinkByName(p.Of)
		if err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("-o parent interface does not exist on the host: %s", p.Of))
		}
		attrs.ParentIndex = on.Attrs().Index
		link = &netlink.Vlan{LinkAttrs: attrs, VlanId: p.VLAN}
	}
	if err := netlink.LinkAdd(link); errors.Is(err, syscall.EOPNOTSUPP) {
		return errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("the parent interface %s cannot be made: the kernel has no %s interfaces", p.Name, link.Type()))
	} else if err != nil {
		return fmt.Errorf("making the parent interface %s: %w", p.Name, err)
	}
	names := []string{p.Name}
	if p.Of == "" {
		names = append(names, p.peer())
	}
	for _, n := range names {
		if err == nil {
			err = setUp(n)
		}
	}
	if err != nil {
		return errors.Join(err, DeleteLink(p.Name))
	}
	return nil
}

func (p Parent) peer() string { return "dp" + p.Name[2:] }

func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("setting %s up: %w", name, err)
	}
	return nil
}

// Supported says whether the kernel has links of a kind: macvlan, ipvlan or vlan.
func Supported(kind string) bool {
	attrs := netlink.NewLinkAttrs()
	// No interface has this index: a kernel that knows the kind says so, and
	// one that does not says that first.
	attrs.Name, attrs.ParentIndex = "berth-probe", 1<<31-1
	var link netlink.Link = &netlink.Macvlan{LinkAttrs: attrs}
	switch kind {
	case "ipvlan":
		link = &netlink.IPVlan{LinkAttrs: attrs}
	case "vlan":
		link = &netlink.Vlan{LinkAttrs: attrs, VlanId: 1}
	}
	return !errors.Is(netlink.LinkAdd(link), syscall.EOPNOTSUPP)
}
