package net

import (
	"context"
	"fmt"
	stdnet "net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

func TestBridge(t *testing.T) {
	m := open(t, func(c *Config) { c.V4.BIP = netip.MustParsePrefix("10.77.0.1/24"); c.MTU = 1400 })
	key, made, bound, err := m.Setup(t.Context(), "c1", "web", onBridge, portMap(t, "8080:80/tcp", "127.0.0.1:9000-9001:90/udp", ":81/tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer teardown(t, m, "c1")
	e := made["bridge"]
	n, _ := m.Lookup("bridge")
	if key != m.dirs.pin("c1") || e.NetworkID != n.ID || len(e.EndpointID) != 64 || e.IPAddress.String() != "10.77.0.2" ||
		e.IPPrefixLen != 24 || e.Gateway.String() != "10.77.0.1" || e.MacAddress.String() != "02:42:0a:4d:00:02" {
		t.Errorf("key %s, endpoint %+v", key, e)
	}
	first := bound[network.MustParsePort("81/tcp")]
	want := network.PortMap{
		network.MustParsePort("80/tcp"): {{HostIP: netip.IPv4Unspecified(), HostPort: "8080"}},
		network.MustParsePort("90/udp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: "9000"}},
		network.MustParsePort("81/tcp"): first,
	}
	if fmt.Sprint(bound) != fmt.Sprint(want) || len(first) != 1 || first[0].HostPort == "" {
		t.Errorf("bound %v", bound)
	}
	nettest.In(t, key, func() error {
		lo, _ := netlink.LinkByName("lo")
		eth, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if lo.Attrs().Flags&stdnet.FlagUp == 0 || eth.Attrs().Flags&stdnet.FlagUp == 0 || eth.Attrs().MTU != 1400 {
			t.Errorf("lo %+v, eth0 %+v", lo.Attrs(), eth.Attrs())
		}
		if addrs, err := netlink.AddrList(eth, netlink.FAMILY_V6); err != nil || len(addrs) > 0 {
			t.Errorf("eth0 has IPv6 addresses: %v, %v", addrs, err)
		}
		return nil
	})
	in, err := m.Inspect("bridge", false, "local")
	c := in.Containers["c1"]
	if err != nil || len(in.Containers) != 1 || c.Name != "web" || c.IPv4Address.String() != "10.77.0.2/24" || c.EndpointID != e.EndpointID {
		t.Errorf("inspect: %+v, %v", in.Containers, err)
	}
	if s := in.Status.IPAM.Subnets[netip.MustParsePrefix("10.77.0.0/24")]; s.IPsInUse != 4 || s.DynamicIPsAvailable != 252 {
		t.Errorf("subnet status: %+v", s)
	}
}

func teardown(t testing.TB, m *Manager, id string) {
	t.Helper()
	for range 2 { // it may be repeated
		if err := m.Teardown(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
}

func TestNoneAndHost(t *testing.T) {
	m := open(t)
	key, made, bound, err := m.Setup(t.Context(), "n", "n", map[string]*network.EndpointSettings{"none": {}}, portMap(t, "8080:80/tcp"))
	if err != nil || key == "" || len(bound) > 0 || made["none"].IPAddress.IsValid() || made["none"].EndpointID == "" {
		t.Errorf("none: %q %+v %v %v", key, made["none"], bound, err)
	}
	nettest.In(t, key, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			// Others are the fallback devices of tunnels, which the kernel makes.
			if l.Type() == "veth" || l.Attrs().Name == "lo" && l.Attrs().Flags&stdnet.FlagUp == 0 {
				t.Errorf("link %+v", l.Attrs())
			}
		}
		return err
	})
	key, made, bound, err = m.Setup(t.Context(), "h", "h", map[string]*network.EndpointSettings{"host": {}}, portMap(t, "8080:80/tcp"))
	if err != nil || key != "" || len(bound) > 0 || made["host"].NetworkID == "" {
		t.Errorf("host: %q %+v %v %v", key, made["host"], bound, err)
	}
	if in, err := m.Inspect("host", false, ""); err != nil || in.Containers["h"].EndpointID != made["host"].EndpointID {
		t.Errorf("inspect host: %+v, %v", in, err)
	}
	both := map[string]*network.EndpointSettings{"host": nil, "bridge": nil}
	if _, _, _, err := m.Setup(t.Context(), "b", "b", both, nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("host and bridge: %v", err)
	}
	key, made, _, err = m.Setup(t.Context(), "e", "e", nil, nil)
	if err != nil || key == "" || len(made) > 0 {
		t.Errorf("no network: %q %v %v", key, made, err)
	}
	for _, id := range []string{"n", "h", "e"} {
		teardown(t, m, id)
	}
}

// A Setup that fails leaves nothing (open's cleanup looks), and says why.
func TestSetupFails(t *testing.T) {
	dir := t.TempDir()
	conf := `{"cniVersion":"1.1.0","name":"broken","plugins":[
		{"type":"berth-bridge","bridge":"berth0","ipam":{"dataDir":"` + dir + `/leases","subnets":[{"subnet":"10.88.0.0/24"}]}},
		{"type":"berth-firewall","table":"not-ours"}]}`
	if err := os.WriteFile(filepath.Join(dir, "a.conflist"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.conflist"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := open(t, func(c *Config) { c.CNIConf = dir })
	start(t, m, "web", portMap(t, "8080:80/tcp"))
	create(t, m, network.CreateRequest{Name: "user", IPAM: subnets("172.20.0.0/16")})
	if _, _, _, err := m.Setup(t.Context(), "one", "one", map[string]*network.EndpointSettings{"user": nil}, nil); err != nil {
		t.Fatal(err)
	}
	defer teardown(t, m, "one")
	static := func(ip string) map[string]*network.EndpointSettings {
		return map[string]*network.EndpointSettings{"user": {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr(ip)}}}
	}
	for _, tt := range []struct {
		name  string
		id    string
		nets  map[string]*network.EndpointSettings
		ports network.PortMap
		want  string
	}{
		{"a port of another container", "x", onBridge, portMap(t, "7070:70/tcp", "8080:80/tcp"),
			"Bind for 0.0.0.0:8080 failed: port is already allocated"},
		{"an address outside", "x", static("10.1.2.3"), nil, "no configured subnet or ip-range contain the IP address 10.1.2.3"},
		{"an address in use", "x", static("172.20.0.2"), portMap(t, "7070:70/tcp"), "Address already in use"},
		{"no such network", "x", map[string]*network.EndpointSettings{"nope": nil}, nil, "network nope not found"},
		{"IPv6 without", "x", onBridge, portMap(t, "[::1]:7070:70/tcp"), "has no addresses of that family"},
		{"a protocol", "x", onBridge, portMap(t, "7070:70/dccp"), "invalid proto: dccp"},
		{"an ID that is a path", "../x", onBridge, nil, "invalid characters"},
		{"a later plugin", "x", map[string]*network.EndpointSettings{"broken": nil}, nil, `names the firewall table "not-ours"`},
		{"twice the same", "x", map[string]*network.EndpointSettings{"bridge": nil, "default": nil}, nil, "given twice"},
		{"a MAC address", "x", map[string]*network.EndpointSettings{"bridge": {MacAddress: network.HardwareAddr{1}}}, nil, "MAC address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, _, err := m.Setup(t.Context(), tt.id, "x", tt.nets, tt.ports)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err := os.RemoveAll(filepath.Join(dir, "leases")); err != nil {
				t.Fatal(err)
			}
		})
	}
	// What failed can be had now, so nothing holds it.
	start(t, m, "after", portMap(t, "7070:70/tcp"))
}

// Also on a network whose subnet was chosen.
func TestStaticAddress(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "user"})
	_, made, _, err := m.Setup(t.Context(), "s", "s", map[string]*network.EndpointSettings{"user": {
		MacAddress: network.HardwareAddr{2, 0, 0, 1, 2, 3},
		IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("172.18.9.9")}}}, nil)
	if err != nil || made["user"].IPAddress.String() != "172.18.9.9" || made["user"].MacAddress.String() != "02:00:00:01:02:03" {
		t.Errorf("%+v, %v", made["user"], err)
	}
	teardown(t, m, "s")
}
