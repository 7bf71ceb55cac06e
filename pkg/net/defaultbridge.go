package net

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// openDefaultBridge returns the network "bridge", with its bridge made.
func (r *registry) openDefaultBridge(known map[string]stored) (*entry, error) {
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
	existing, err := bridge.Existing(r.cfg.Bridge)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	var recorded netip.Prefix
	if len(n.IPAM.Config) > 0 {
		recorded = netip.PrefixFrom(n.IPAM.Config[0].Gateway, n.IPAM.Config[0].Subnet.Bits())
	}
	gateway, err := chooseGateway(r.cfg.BIP, existing, recorded, r.cfg.Pools, used)
	if err != nil {
		return nil, err
	}
	n.IPAM.Config = []network.IPAMConfig{{Subnet: gateway.Masked(), Gateway: gateway.Addr()}}
	e, err := r.entryOf(n)
	if err != nil {
		return nil, err
	}
	if _, err := e.bridge.Ensure(); err != nil {
		return nil, err
	}
	return e, r.save(e)
}

// chooseGateway decides the default bridge's address: what is configured; what
// the bridge has, since containers may be on it; what it had, if the host has
// not begun to use that otherwise; or the first free subnet.
func chooseGateway(bip, existing, recorded netip.Prefix, pools []ipam.AddressPool, used []netip.Prefix) (netip.Prefix, error) {
	if bip.IsValid() {
		if bip.Addr() == bip.Masked().Addr() || bip.Bits() > bip.Addr().BitLen()-2 {
			return bip, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("invalid bip %s: it must be an address inside a subnet", bip))
		}
		return bip, nil
	}
	if existing.IsValid() {
		return existing, nil
	}
	if recorded.IsValid() {
		free := true
		for _, u := range used {
			free = free && !u.Overlaps(recorded)
		}
		if free {
			return recorded, nil
		}
	}
	subnet, err := ipam.Choose(slices.DeleteFunc(slices.Clone(pools), func(p ipam.AddressPool) bool { return p.Base.Addr().Is6() }), used)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(subnet.Addr().Next(), subnet.Bits()), nil
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
