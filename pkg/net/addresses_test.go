package net

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

// TestAddressesOfDefaultBridge has a container where daemon.json's keys put it.
func TestAddressesOfDefaultBridge(t *testing.T) {
	m := open(t, func(c *Config) {
		c.IPv6 = true
		c.V4 = define.BridgeSubnet{BIP: netip.MustParsePrefix("10.77.0.1/16"), Range: netip.MustParsePrefix("10.77.5.0/24"), Gateway: netip.MustParseAddr("10.77.5.0")}
		c.V6 = define.BridgeSubnet{Range: netip.MustParsePrefix("fd00:77::/64"), Gateway: netip.MustParseAddr("fd00:77::1")}
	})
	key, made, _, err := m.Setup(t.Context(), "c1", "web", onBridge, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := made["bridge"]
	if e.IPAddress.String() != "10.77.5.1" || e.Gateway.String() != "10.77.5.0" || e.GlobalIPv6Address.String() != "fd00:77::3" || e.IPv6Gateway.String() != "fd00:77::1" {
		t.Errorf("endpoint %+v", e)
	}
	nettest.In(t, key, func() error {
		routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		var ways []string
		for _, r := range routes {
			if r.Gw != nil {
				ways = append(ways, r.Gw.String())
			}
		}
		if got := strings.Join(ways, " "); got != "10.77.5.0 fd00:77::1" {
			t.Errorf("the default routes lead to %s", got)
		}
		return nil
	})
	if err := m.Teardown(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	in, err := m.Inspect("bridge", false, "")
	want := []network.IPAMConfig{
		{Subnet: netip.MustParsePrefix("10.77.0.0/16"), IPRange: netip.MustParsePrefix("10.77.5.0/24"), Gateway: netip.MustParseAddr("10.77.0.1"),
			AuxAddress: map[string]netip.Addr{"DefaultGatewayIPv4": netip.MustParseAddr("10.77.5.0")}},
		{Subnet: netip.MustParsePrefix("fd00:77::/64"), IPRange: netip.MustParsePrefix("fd00:77::/64"), Gateway: netip.MustParseAddr("fd00:77::2"),
			AuxAddress: map[string]netip.Addr{"DefaultGatewayIPv6": netip.MustParseAddr("fd00:77::1")}},
	}
	if err != nil || !in.EnableIPv6 || toJSON(t, in.IPAM.Config) != toJSON(t, want) {
		t.Errorf("%v, %v: %s", err, in.EnableIPv6, toJSON(t, in.IPAM.Config))
	}
	// Without the settings IPv6 is gone, and the bridge's address stays.
	m.cfg.IPv6, m.cfg.V4, m.cfg.V6 = false, define.BridgeSubnet{}, define.BridgeSubnet{}
	again := reopen(t, m)
	if in, err = again.Inspect("bridge", false, ""); err != nil || in.EnableIPv6 || len(in.IPAM.Config) != 1 || in.IPAM.Config[0].Gateway.String() != "10.77.0.1" {
		t.Errorf("without settings: %v, %+v", err, in.IPAM.Config)
	}
}

// IPv6 that says nothing else gets a subnet of the host's own, and the same again.
func TestIPv6OfDefaultBridge(t *testing.T) {
	m := open(t, func(c *Config) { c.IPv6 = true })
	before, _ := m.Lookup("bridge")
	if len(before.IPAM.Config) != 2 || before.IPAM.Config[1].Subnet.Bits() != 64 || !before.IPAM.Config[1].Subnet.Addr().IsPrivate() {
		t.Fatalf("subnets %v", before.IPAM.Config)
	}
	if err := m.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	again, err := New(t.Context(), m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	running[m.cfg.ExecRoot] = again
	if after, _ := again.Lookup("bridge"); toJSON(t, after.IPAM) != toJSON(t, before.IPAM) {
		t.Errorf("before %s, after %s", toJSON(t, before.IPAM), toJSON(t, after.IPAM))
	}
}

func TestGatewayOutsideOfDefaultBridge(t *testing.T) {
	m := open(t, func(c *Config) { c.V4.BIP = netip.MustParsePrefix("10.77.0.1/24") })
	if err := m.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	c := m.cfg
	c.V4.Gateway = netip.MustParseAddr("10.78.0.9")
	if got, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), "default gateway ip must be part of the network") {
		t.Errorf("got %v, %v", got, err)
	}
	again, err := New(t.Context(), m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	running[c.ExecRoot] = again
}

// TestDefaultNetworkOptions: what the daemon adds is in the network's own options, and
// what is asked for comes before it.
func TestDefaultNetworkOptions(t *testing.T) {
	const mtu, icc = "com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"
	m := open(t, func(c *Config) {
		c.NetworkOptions = map[string]map[string]string{"bridge": {mtu: "1300", icc: "false"}}
	})
	for _, tt := range []struct {
		name string
		q    network.CreateRequest
		want string
	}{
		{"plain", network.CreateRequest{}, `{"` + icc + `":"false","` + mtu + `":"1300"}`},
		{"other", network.CreateRequest{Driver: "bridge", Options: map[string]string{mtu: "1280", "a": "b"}}, `{"a":"b","` + icc + `":"false","` + mtu + `":"1280"}`},
		{"configuration", network.CreateRequest{ConfigOnly: true, Options: map[string]string{mtu: "1290"}}, `{"` + icc + `":"false","` + mtu + `":"1290"}`},
		{"configured", network.CreateRequest{ConfigFrom: &network.ConfigReference{Network: "configuration"}}, `{"` + icc + `":"false","` + mtu + `":"1290"}`},
	} {
		tt.q.Name = tt.name
		if _, err := m.Create(t.Context(), tt.q); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if n, _ := m.Lookup(tt.name); toJSON(t, n.Options) != tt.want {
			t.Errorf("%s has %s", tt.name, toJSON(t, n.Options))
		}
	}
	link, err := netlink.LinkByName("br-" + mustLookup(t, m, "plain").ID[:12])
	if err != nil || link.Attrs().MTU != 1300 {
		t.Errorf("the bridge: %v, %+v", err, link)
	}
	for _, name := range []string{"configured", "plain", "other", "configuration"} {
		if err := m.Remove(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	c := m.cfg
	c.NetworkOptions = map[string]map[string]string{"bridge": {mtu: "no"}}
	if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), "failed to parse "+mtu+" value: no") {
		t.Errorf("a wrong default: %v", err)
	}
}

func mustLookup(t *testing.T, m *Manager, name string) network.Network {
	t.Helper()
	n, err := m.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
