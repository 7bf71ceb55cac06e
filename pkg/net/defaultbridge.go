package net

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/conflist"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// openDefaultBridge returns the network "bridge", with its bridge made.
func (r *registry) openDefaultBridge(known map[string]conflist.Record) (*entry, error) {
	n := r.predefined(network.NetworkBridge, define.DriverBridge, known)
	n.Options = map[string]string{
		define.OptDefaultBridge: "true", define.OptICC: strconv.FormatBool(!r.cfg.NoICC), define.OptMasquerade: strconv.FormatBool(!r.cfg.NoMasquerade),
		define.OptHostBinding: r.cfg.HostIP.String(), define.OptBridgeName: r.cfg.Bridge, define.OptMTU: strconv.Itoa(r.cfg.MTU),
	}
	// Daemons that start at the same time must not choose the same subnet: the
	// bridge carries the choice, so the lock is kept until it is there.
	unlock, err := lockLinks()
	if err != nil {
		return nil, err
	}
	defer unlock()
	used, err := ipam.HostPrefixes(r.cfg.Bridge)
	if err != nil {
		return nil, err
	}
	for name, s := range known { // users' networks, which may not have their bridges now
		for _, c := range s.Network.IPAM.Config {
			if !define.Predefined(name) && !s.Network.ConfigOnly {
				used = append(used, c.Subnet)
			}
		}
	}
	recorded := n.IPAM.Config
	n.EnableIPv6, n.IPAM.Config = r.cfg.IPv6, nil
	for _, is4 := range []bool{true, false} {
		if !is4 && !r.cfg.IPv6 {
			continue
		}
		c, err := r.defaultSubnet(is4, recorded, used)
		if err != nil {
			return nil, err
		}
		n.IPAM.Config = append(n.IPAM.Config, c)
	}
	e, err := r.entryOf(n)
	if err != nil {
		return nil, err
	}
	if _, err := e.bridge.Ensure(); err != nil {
		return nil, err
	}
	return e, r.save(e)
}

// defaultSubnet is the default bridge's subnet of a family.
func (r *registry) defaultSubnet(is4 bool, recorded []network.IPAMConfig, used []netip.Prefix) (c network.IPAMConfig, err error) {
	s := r.cfg.V6
	if is4 {
		s = r.cfg.V4
	}
	existing, err := bridge.Existing(r.cfg.Bridge, is4)
	if err != nil && !errdefs.IsNotFound(err) {
		return c, err
	}
	var before netip.Prefix
	for _, old := range recorded {
		if old.Subnet.Addr().Is4() == is4 {
			before = netip.PrefixFrom(old.Gateway, old.Subnet.Bits())
		}
	}
	pools := slices.DeleteFunc(slices.Clone(r.cfg.Pools), func(p ipam.AddressPool) bool { return p.Base.Addr().Is4() != is4 })
	return s.Config(existing, before, pools, used)
}

// lockLinks excludes other daemons of this host from choosing subnets. The
// lock is on the folder that stands for the host's links: every process that
// has the same links has it, whatever its roots are.
func lockLinks() (unlock func(), err error) {
	f, err := os.Open("/sys/class/net")
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil // no sysfs
	}
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the host's links: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
