package config

import (
	"fmt"
	"net/netip"
)

// Traffic is what containers may send and who may send to them, unless a
// network says otherwise.
type Traffic struct {
	HostIP        netip.Addr // where ports are published that name no address; zero: everywhere
	ICC           bool       // containers of the default network reach each other
	Masquerade    bool       // those of the default network leave with the host's address
	DirectRouting bool       // published ports are reached at containers' own addresses as well
	Forward       bool       // the host is made to forward packets, if it does not
	ForwardNoDrop bool       // and then does so for everyone
	UserlandProxy bool       // what the kernel cannot translate is forwarded by a program
}

// options are Traffic's; ip is HostIP's, unparsed.
func (t *Traffic) options(ip *string) []*option {
	return []*option{
		{flag: "ip", key: "ip", dst: ip, usage: "Address at which ports are published that name none (default: all)"},
		{flag: "icc", key: "icc", dst: &t.ICC, usage: "Containers of the default network reach each other"},
		{flag: "ip-masq", key: "ip-masq", dst: &t.Masquerade, usage: "Containers of the default network reach other hosts as this one"},
		{flag: "allow-direct-routing", key: "allow-direct-routing", dst: &t.DirectRouting, usage: "Other hosts may reach published ports at the containers' own addresses"},
		{flag: "ip-forward", key: "ip-forward", dst: &t.Forward, usage: "Have the host forward packets if it does not"},
		{flag: "ip-forward-no-drop", key: "ip-forward-no-drop", dst: &t.ForwardNoDrop, usage: "Having turned forwarding on, let the host forward for everyone"},
		{flag: "userland-proxy", key: "userland-proxy", dst: &t.UserlandProxy, usage: "Forward published ports of IPv6 to containers without it, and of ::1, by the container's shim"},
	}
}

func (s *settings) resolveTraffic(c *Config) error {
	c.Traffic = s.traffic
	if s.hostIP == "" {
		return nil
	}
	ip, err := netip.ParseAddr(s.hostIP)
	if err != nil || ip.Zone() != "" {
		return fmt.Errorf("ip: %q is not an IP address", s.hostIP)
	}
	c.HostIP = ip.Unmap()
	return nil
}
