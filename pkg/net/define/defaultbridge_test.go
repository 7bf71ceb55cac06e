package define

import (
	"net/netip"
	"testing"

	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containerd/errdefs"
)

func TestAddressOfDefaultBridge(t *testing.T) {
	p := func(s string) netip.Prefix {
		if s == "" {
			return netip.Prefix{}
		}
		return netip.MustParsePrefix(s)
	}
	for _, tt := range []struct{ name, bip, fixed, existing, recorded, used, want string }{
		{"first start", "", "", "", "", "", "172.17.0.1/16"},
		{"beside another", "", "", "", "", "172.17.0.0/16", "172.18.0.1/16"},
		{"what it had", "", "", "", "172.30.0.1/16", "172.17.0.0/16", "172.30.0.1/16"},
		{"what it had is used now", "", "", "", "172.30.0.1/16", "172.30.1.0/24", "172.17.0.1/16"},
		{"the bridge is there", "", "", "10.5.0.1/24", "172.30.0.1/16", "10.5.0.0/16", "10.5.0.1/24"},
		{"configured", "10.9.0.1/24", "", "10.5.0.1/24", "172.30.0.1/16", "10.9.0.0/16", "10.9.0.1/24"},
		{"configured wrong", "10.9.0.0/24", "", "", "", "", ""},
		{"configured too small", "10.9.0.1/31", "", "", "", "", ""},
		{"a range alone", "", "10.7.0.0/24", "", "172.30.0.1/16", "", "10.7.0.1/24"},
		{"a range of the bridge's subnet", "", "10.5.3.0/24", "10.5.0.9/16", "", "", "10.5.0.9/16"},
		{"a range around the bridge's subnet", "", "10.5.0.0/16", "10.5.3.9/24", "", "", "10.5.3.9/16"},
		{"a range elsewhere", "", "10.7.0.0/24", "10.5.0.1/24", "", "", "10.7.0.1/24"},
		{"a range and an address", "10.7.0.9/16", "10.7.1.0/24", "10.5.0.1/24", "", "", "10.7.0.9/16"},
		{"a range outside of the address's subnet", "10.7.0.9/16", "10.8.1.0/24", "", "", "", ""},
		{"a range larger than the address's subnet", "10.7.0.9/16", "10.0.0.0/8", "", "", "", ""},
		{"a range too small", "", "10.7.0.0/31", "", "", "", ""},
		{"IPv6", "", "fd00:5::/64", "fd00:5:0:0:1::9/96", "", "", "fd00:5::1:0:0:9/64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var used []netip.Prefix
			if tt.used != "" {
				used = []netip.Prefix{p(tt.used)}
			}
			got, err := BridgeSubnet{BIP: p(tt.bip), Range: p(tt.fixed)}.address(p(tt.existing), p(tt.recorded), ipam.DefaultPools(), used)
			if tt.want == "" {
				if !errdefs.IsInvalidArgument(err) {
					t.Errorf("got %v, %v", got, err)
				}
			} else if err != nil || got.String() != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}
