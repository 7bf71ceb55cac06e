package ipam

import (
	"net"
	"net/netip"
	"testing"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
)

func TestMain(m *testing.M) { nettest.Main(m) }

func prefixes(s ...string) (out []netip.Prefix) {
	for _, x := range s {
		out = append(out, netip.MustParsePrefix(x))
	}
	return out
}

func TestChoose(t *testing.T) {
	small := []AddressPool{{netip.MustParsePrefix("10.0.0.0/30"), 31}, {netip.MustParsePrefix("fd00::/63"), 64}}
	for _, tt := range []struct {
		name  string
		pools []AddressPool
		used  []netip.Prefix
		want  string // "" is none
	}{
		{"nothing used", DefaultPools(), nil, "172.17.0.0/16"},
		{"exactly used", DefaultPools(), prefixes("172.17.0.0/16"), "172.18.0.0/16"},
		{"a part is used", DefaultPools(), prefixes("172.17.3.4/32", "172.18.255.0/24"), "172.19.0.0/16"},
		{"much more is used", DefaultPools(), prefixes("172.16.0.0/14"), "172.20.0.0/16"},
		{"inside a pool", DefaultPools(), prefixes("172.16.0.0/14", "172.20.0.0/15"), "172.22.0.0/16"},
		{"all of 172.16/12", DefaultPools(), prefixes("172.16.0.0/12"), "192.168.0.0/20"},
		{"a home network", DefaultPools(), prefixes("172.16.0.0/12", "192.168.1.0/24"), "192.168.16.0/20"},
		{"half of the internet", DefaultPools(), prefixes("128.0.0.0/1"), ""},
		{"IPv6 is no matter", DefaultPools(), prefixes("fd00::/8"), "172.17.0.0/16"},
		{"all used", DefaultPools(), prefixes("172.16.0.0/12", "192.168.0.0/16"), ""},
		{"small", small, prefixes("10.0.0.1/32"), "10.0.0.2/31"},
		{"the next pool", small, prefixes("10.0.0.1/32", "10.0.0.2/32"), "fd00::/64"},
		{"the last", small, prefixes("10.0.0.0/8", "fd00::1/128"), "fd00:0:0:1::/64"},
		{"at the end of all addresses", []AddressPool{{netip.MustParsePrefix("255.255.0.0/16"), 24}}, prefixes("255.255.0.0/16"), ""},
		{"no pools", nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Choose(tt.pools, tt.used)
			if tt.want == "" {
				if !errdefs.IsResourceExhausted(err) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestValidatePools(t *testing.T) {
	if err := ValidatePools(DefaultPools()); err != nil {
		t.Error(err)
	}
	for _, p := range []AddressPool{{}, {netip.MustParsePrefix("10.0.0.0/24"), 16}, {netip.MustParsePrefix("10.0.0.0/24"), 33}} {
		if err := ValidatePools([]AddressPool{p}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestHostPrefixes(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	link, err := netlink.LinkByName(lan.Dev)
	if err != nil {
		t.Fatal(err)
	}
	gw := netip.MustParseAddr("192.0.2.9").AsSlice()
	_, vpn, _ := net.ParseCIDR("10.8.0.0/16")
	for _, r := range []*netlink.Route{
		{Gw: gw}, // default
		{Dst: vpn, LinkIndex: link.Attrs().Index, Table: 77}, // of policy routing
	} {
		if err := netlink.RouteAdd(r); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netlink.RouteDel(r) })
	}
	overlaps := func(ignore, p string) bool {
		t.Helper()
		used, err := HostPrefixes(ignore)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Choose([]AddressPool{{netip.MustParsePrefix(p), netip.MustParsePrefix(p).Bits()}}, used)
		return err != nil
	}
	for _, tt := range []struct {
		ignore, prefix string
		want           bool
	}{
		{"", "192.0.2.0/25", true}, {"", "192.0.0.0/16", true}, {"", "10.8.9.0/24", true},
		{"", "127.0.0.0/24", true}, {"", "203.0.113.0/24", false}, {lan.Dev, "192.0.2.0/24", false},
	} {
		if got := overlaps(tt.ignore, tt.prefix); got != tt.want {
			t.Errorf("%s without %q: %v", tt.prefix, tt.ignore, got)
		}
	}
}
