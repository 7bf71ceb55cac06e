package define

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

func conf(subnet, ipRange, gateway string, aux map[string]netip.Addr) network.IPAMConfig {
	c := network.IPAMConfig{AuxAddress: aux}
	if subnet != "" {
		c.Subnet = netip.MustParsePrefix(subnet)
	}
	if ipRange != "" {
		c.IPRange = netip.MustParsePrefix(ipRange)
	}
	if gateway != "" {
		c.Gateway = netip.MustParseAddr(gateway)
	}
	return c
}

func addresses(c ...network.IPAMConfig) *network.IPAM { return &network.IPAM{Config: c} }

func options(kv ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		out[kv[i]] = kv[i+1]
	}
	return out
}

func TestNewRefuses(t *testing.T) {
	yes, no := true, false
	forbidden, invalid, notFound := errdefs.IsPermissionDenied, errdefs.IsInvalidArgument, errdefs.IsNotFound
	config := &network.ConfigReference{Network: "c"}
	for _, tt := range []struct {
		q    network.CreateRequest
		is   func(error) bool
		want string
	}{
		{network.CreateRequest{}, invalid, "invalid name: name is empty"},
		{network.CreateRequest{Name: "host"}, forbidden, "operation is not permitted on predefined host network "},
		{network.CreateRequest{Name: "default"}, forbidden, "operation is not permitted on predefined default network "},
		{network.CreateRequest{Name: "../x"}, invalid, "invalid network name (../x)"},
		{network.CreateRequest{Name: "a b"}, invalid, "invalid network name (a b)"},
		{network.CreateRequest{Name: strings.Repeat("a", 129)}, invalid, "invalid network name"},
		{network.CreateRequest{Name: "x", Driver: "foo"}, notFound, `plugin "foo" not found`},
		{network.CreateRequest{Name: "x", Driver: "host"}, forbidden, `only one instance of "host" network is allowed`},
		{network.CreateRequest{Name: "x", Driver: "null"}, forbidden, `only one instance of "null" network is allowed`},
		{network.CreateRequest{Name: "x", Driver: "overlay"}, forbidden, "This node is not a swarm manager."},
		{network.CreateRequest{Name: "x", Ingress: true}, forbidden, "Ingress network can only be global scope network"},
		{network.CreateRequest{Name: "x", Scope: "swarm"}, forbidden, "cannot create a swarm scoped network when swarm is not active"},
		{network.CreateRequest{Name: "x", Scope: "galaxy"}, invalid, `invalid network scope "galaxy"`},
		{network.CreateRequest{Name: "x", EnableIPv4: &no}, invalid, "IPv4 or IPv6 must be enabled"},
		{network.CreateRequest{Name: "x", ConfigOnly: true, Internal: true}, forbidden, "configuration network can only contain network specific fields"},
		{network.CreateRequest{Name: "x", ConfigOnly: true, ConfigFrom: config}, forbidden, "a configuration network cannot depend on another configuration network"},
		{network.CreateRequest{Name: "x", ConfigFrom: config}, notFound, `configuration network "c" not found`},
		{network.CreateRequest{Name: "x", ConfigFrom: config, Labels: options("a", "b")}, forbidden, "user specified configurations are not supported"},
		{network.CreateRequest{Name: "x", ConfigFrom: config, Options: options("a", "b")}, forbidden, "network driver options are not supported"},
		{network.CreateRequest{Name: "x", Options: options(OptMTU, "big")}, invalid, "failed to parse com.docker.network.driver.mtu value: big"},
		{network.CreateRequest{Name: "x", Options: options(OptMTU, "10")}, invalid, "failed to parse com.docker.network.driver.mtu value: 10"},
		{network.CreateRequest{Name: "x", Options: options(OptICC, "maybe")}, invalid, "failed to parse com.docker.network.bridge.enable_icc value: maybe"},
		{network.CreateRequest{Name: "x", Options: options(OptHostBinding, "here")}, invalid, "failed to parse"},
		{network.CreateRequest{Name: "x", Options: options(OptBridgeName, "a/b")}, invalid, "failed to parse"},
		{network.CreateRequest{Name: "x", Options: options(OptBridgeName, "sixteen-letters-")}, invalid, "failed to parse"},
		{network.CreateRequest{Name: "x", Options: options(OptGatewayMode4, "isolated")}, invalid, "can only be used for an internal network"},
		{network.CreateRequest{Name: "x", Options: options(optHostIPv4, "fd00::1")}, invalid, "failed to parse com.docker.network.host_ipv4"},
		{network.CreateRequest{Name: "x", Options: options(optTrusted, "eth0::eth1")}, invalid, "list of interfaces"},
		{network.CreateRequest{Name: "x", Options: options(OptGatewayMode6, "sideways")}, invalid, "unknown gateway mode sideways"},
		{network.CreateRequest{Name: "x", Options: options(optEnableIPv6, "2")}, invalid, "is not a valid bool"},
		{network.CreateRequest{Name: "x", IPAM: &network.IPAM{Driver: "dhcp"}}, notFound, `plugin "dhcp" not found`},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("", "", "10.0.0.1", nil))}, invalid, "invalid network config:\ninvalid subnet : invalid CIDR block notation"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.1/24", "", "", nil))}, invalid, "invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("0.0.0.0/0", "", "", nil))}, invalid, "invalid subnet 0.0.0.0/0: its addresses are not those of hosts"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("127.0.0.0/8", "", "", nil))}, invalid, "its addresses are not those of hosts"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("224.0.0.0/24", "", "", nil))}, invalid, "its addresses are not those of hosts"},
		{network.CreateRequest{Name: "x", EnableIPv6: &yes, IPAM: addresses(conf("::ffff:10.0.0.0/120", "", "", nil))}, invalid, "its addresses are not those of hosts"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/32", "", "", nil))}, invalid, "it has no place for a gateway"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/24", "10.1.0.0/25", "", nil))}, invalid, "invalid ip-range 10.1.0.0/25: parent subnet 10.0.0.0/24 doesn't contain ip-range"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/24", "10.0.0.0/16", "", nil))}, invalid, "CIDR block is bigger than its parent subnet 10.0.0.0/24"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/24", "fd00::/64", "", nil))}, invalid, "invalid ip-range fd00::/64: parent subnet is an IPv4 block"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/24", "", "10.0.1.1", nil))}, invalid, "invalid gateway 10.0.1.1: parent subnet 10.0.0.0/24 doesn't contain this address"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/24", "", "fd00::1", nil))}, invalid, "invalid gateway fd00::1: parent subnet is an IPv4 block"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/24", "", "", map[string]netip.Addr{"tap": netip.MustParseAddr("10.0.1.9")}))}, invalid, "invalid auxiliary address tap: parent subnet"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.0/24", "", "", nil), conf("10.0.0.128/25", "", "", nil))}, invalid, "it overlaps with 10.0.0.0/24"},
		{network.CreateRequest{Name: "x", EnableIPv4: &no, EnableIPv6: &yes, IPAM: addresses(conf("10.0.0.0/24", "", "", nil))}, invalid, "IPv4 is not enabled for this network"},
		{network.CreateRequest{Name: "x", IPAM: addresses(conf("10.0.0.1/24", "10.1.0.0/25", "", nil))}, invalid, "invalid network config:\n* invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24\n* invalid ip-range"},
	} {
		_, err := New(tt.q, []string{"bridge"}, func(string) (network.Network, bool) { return network.Network{}, false })
		if !tt.is(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.q, err, tt.want)
		}
	}
}

func TestNew(t *testing.T) {
	yes := true
	n, err := New(network.CreateRequest{Name: "x", EnableIPv6: &yes, Options: options(optEnableIPv6, "false", "unknown", "kept"),
		IPAM: addresses(conf("fd00:1::/64", "", "", nil))}, []string{"bridge"}, nil)
	if err != nil || n.Driver != "bridge" || n.Scope != "local" || !n.EnableIPv4 || !n.EnableIPv6 || n.IPAM.Driver != "default" ||
		len(n.Options) != 1 || n.Options["unknown"] != "kept" || len(n.IPAM.Config) != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	// As Docker has it, an IPv6 subnet of a network without IPv6 has no effect.
	n, err = New(network.CreateRequest{Name: "x", IPAM: addresses(conf("fd00:1::/64", "", "", nil))}, []string{"bridge"}, nil)
	if err != nil || len(n.IPAM.Config) != 0 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestAddress(t *testing.T) {
	aux := func(a string) map[string]netip.Addr { return map[string]netip.Addr{"a": netip.MustParseAddr(a)} }
	pools := append(ipam.DefaultPools(), ipam.UniqueLocal("seed"))
	six := netip.PrefixFrom(pools[len(pools)-1].Base.Addr(), 64)
	for _, tt := range []struct {
		name  string
		in    []network.IPAMConfig
		both  bool
		taken Taken
		want  string
		fails string
	}{
		{name: "chosen", want: "172.17.0.0/16 172.17.0.1"},
		{name: "beside others", taken: Taken{Networks: prefixes("172.17.0.0/24"), Host: prefixes("172.18.0.0/15")}, want: "172.20.0.0/16 172.20.0.1"},
		{name: "both", both: true, want: "172.17.0.0/16 172.17.0.1, " + six.String() + " " + six.Addr().Next().String()},
		{name: "asked for, over a route of the host", in: []network.IPAMConfig{conf("10.1.0.0/16", "", "", nil)},
			taken: Taken{Host: prefixes("10.0.0.0/8")}, want: "10.1.0.0/16 10.1.0.1"},
		{name: "gateway", in: []network.IPAMConfig{conf("10.1.0.0/16", "", "10.1.9.9", nil)}, want: "10.1.0.0/16 10.1.9.9"},
		{name: "the first is kept", in: []network.IPAMConfig{conf("10.1.0.0/16", "", "", aux("10.1.0.1"))}, want: "10.1.0.0/16 10.1.0.2"},
		{name: "two addresses", in: []network.IPAMConfig{conf("10.1.0.0/31", "", "", nil)}, want: "10.1.0.0/31 10.1.0.0"},
		{name: "the gateway is kept", in: []network.IPAMConfig{conf("10.1.0.0/16", "", "10.1.0.2", aux("10.1.0.2"))},
			fails: "failed to allocate gateway (10.1.0.2): Address already in use"},
		{name: "the broadcast address", in: []network.IPAMConfig{conf("10.1.0.0/16", "", "10.1.255.255", nil)},
			fails: "failed to allocate gateway (10.1.255.255): Address already in use"},
		{name: "taken", in: []network.IPAMConfig{conf("10.1.0.0/16", "", "", nil)}, taken: Taken{Networks: prefixes("10.1.2.0/24")},
			fails: "invalid pool request: Pool overlaps with other one on this address space"},
		{name: "nothing left", taken: Taken{Host: prefixes("172.16.0.0/12", "192.168.0.0/16")}, fails: "all predefined address pools have been fully subnetted"},
	} {
		n := network.Network{EnableIPv4: true, EnableIPv6: tt.both, Driver: "bridge", IPAM: network.IPAM{Config: tt.in}}
		err := Address(&n, pools, tt.taken)
		var got []string
		for _, c := range n.IPAM.Config {
			got = append(got, c.Subnet.String()+" "+c.Gateway.String())
		}
		if tt.fails != "" && (err == nil || err.Error() != tt.fails) || tt.fails == "" && (err != nil || strings.Join(got, ", ") != tt.want) {
			t.Errorf("%s: got %v, %v", tt.name, got, err)
		}
	}
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestParseEndpoint(t *testing.T) {
	user := network.Network{Name: "user", Driver: "bridge", IPAM: *addresses(conf("10.1.0.0/16", "", "", nil), conf("fd00:1::/64", "", "", nil))}
	static := func(four, six string) *network.EndpointIPAMConfig {
		c := &network.EndpointIPAMConfig{}
		if four != "" {
			c.IPv4Address = netip.MustParseAddr(four)
		}
		if six != "" {
			c.IPv6Address = netip.MustParseAddr(six)
		}
		return c
	}
	for _, tt := range []struct {
		n    network.Network
		s    network.EndpointSettings
		want string // "" is accepted
	}{
		{user, network.EndpointSettings{IPAMConfig: static("10.1.2.3", "fd00:1::9"), Aliases: []string{"a"}}, ""},
		{user, network.EndpointSettings{IPAMConfig: static("10.2.2.3", "")}, "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.2.2.3"},
		{user, network.EndpointSettings{IPAMConfig: static("10.2.2.3", "fd00:2::1")}, "* no configured subnet or ip-range contain the IP address 10.2.2.3\n* no configured"},
		{user, network.EndpointSettings{IPAMConfig: static("fd00:1::1", "")}, "invalid IPv4 address: fd00:1::1"},
		{user, network.EndpointSettings{IPAMConfig: static("", "10.1.2.3")}, "invalid IPv6 address: 10.1.2.3"},
		{user, network.EndpointSettings{IPAMConfig: static("", "::ffff:10.1.2.3")}, "invalid IPv6 address"},
		{network.Network{Name: "bridge"}, network.EndpointSettings{IPAMConfig: static("172.17.0.9", "")}, "user-specified IP address is supported on user-defined networks only"},
		{network.Network{Name: "bridge"}, network.EndpointSettings{Aliases: []string{"a"}}, "network-scoped aliases are only supported for user-defined networks"},
		{network.Network{Name: "container:a"}, network.EndpointSettings{IPAMConfig: static("192.0.2.9", ""), Aliases: []string{"a"}},
			"invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only\n* network-scoped aliases are only supported for user-defined networks"},
		{network.Network{Name: "later"}, network.EndpointSettings{IPAMConfig: static("192.0.2.9", ""), Aliases: []string{"a"}}, ""},
		{user, network.EndpointSettings{MacAddress: network.HardwareAddr{1, 0, 0, 0, 0, 0}}, "invalid MAC address 01:00:00:00:00:00"},
		{user, network.EndpointSettings{DriverOpts: options(OptIfName, "../x")}, "invalid interface name"},
		{user, network.EndpointSettings{DriverOpts: options(OptIfName, "lo")}, "invalid interface name"},
		{user, network.EndpointSettings{DriverOpts: options(OptSysctls, "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.ifname.accept_ra=2")}, ""},
		{user, network.EndpointSettings{DriverOpts: options(OptSysctls, "net.ipv4.conf.eth0.log_martians=1")}, "unrecognised network interface sysctl 'net.ipv4.conf.eth0.log_martians=1'"},
		{user, network.EndpointSettings{DriverOpts: options(OptSysctls, "net.ipv4.conf.IFNAME.../../x=1")}, "unrecognised network interface sysctl"},
		{user, network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{LinkLocalIPs: []netip.Addr{{}}}}, "invalid link-local IP address"},
	} {
		_, err := ParseEndpoint(tt.n, &tt.s)
		if tt.want == "" && err != nil || tt.want != "" && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: got %v, want %q", tt.s, err, tt.want)
		}
	}
}

func FuzzParseSysctl(f *testing.F) {
	f.Add("net.ipv4.conf.IFNAME.log_martians=1")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseSysctl(s)
		if err == nil && strings.Contains(v.Path("eth0"), "..") {
			t.Errorf("%q: %s", s, v.Path("eth0"))
		}
	})
}
