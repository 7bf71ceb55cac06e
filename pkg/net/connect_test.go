package net

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

// defaultRoutes says where a container's default routes go: "eth0 172.17.0.1".
func defaultRoutes(t *testing.T, key string) (out []string) {
	t.Helper()
	nettest.In(t, key, func() error {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			routes, err := netlink.RouteList(nil, family)
			if err != nil {
				return err
			}
			for _, r := range routes {
				if r.Dst != nil {
					if ones, _ := r.Dst.Mask.Size(); ones > 0 {
						continue
					}
				}
				link, err := netlink.LinkByIndex(r.LinkIndex)
				if err != nil {
					return err
				}
				out = append(out, fmt.Sprintf("%s %s", link.Attrs().Name, r.Gw))
			}
		}
		return nil
	})
	return out
}

func connect(t *testing.T, m *Manager, id, ref string, s *network.EndpointSettings, ports network.PortMap) (map[string]*network.EndpointSettings, network.PortMap) {
	t.Helper()
	made, bound, err := m.Connect(t.Context(), id, ref, s, ports)
	if err != nil {
		t.Fatal(err)
	}
	return made, bound
}

// The order of gateways: what leads out, priority, name. Interfaces have their
// names in that order.
func TestSeveralNetworks(t *testing.T) {
	m := open(t)
	yes := true
	create(t, m, network.CreateRequest{Name: "b", IPAM: subnets("10.66.2.0/24")})
	create(t, m, network.CreateRequest{Name: "a", IPAM: subnets("10.66.1.0/24"), Internal: true})
	create(t, m, network.CreateRequest{Name: "c", IPAM: subnets("10.66.3.0/24", "fd00:3::/64"), EnableIPv6: &yes,
		Options: map[string]string{"com.docker.network.container_iface_prefix": "lan"}})
	for _, tt := range []struct {
		name   string
		wanted map[string]*network.EndpointSettings
		routes []string
		ifs    string
	}{
		{"by name", on("a", "b", "c"), []string{"eth0 10.66.2.1", "lan0 fd00:3::1"}, "a=eth1 b=eth0 c=lan0"},
		{"by priority", map[string]*network.EndpointSettings{"a": {GwPriority: 9}, "b": nil, "c": {GwPriority: 1}},
			[]string{"lan0 10.66.3.1", "lan0 fd00:3::1"}, "a=eth1 b=eth0 c=lan0"},
		{"inward alone", on("a"), nil, "a=eth0"},
		{"named", map[string]*network.EndpointSettings{"b": {DriverOpts: map[string]string{"com.docker.network.endpoint.ifname": "wan"}}},
			[]string{"wan 10.66.2.1"}, "b=wan"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, made, _, err := m.Setup(t.Context(), "x", "x", tt.wanted, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer teardown(t, m, "x")
			if got := defaultRoutes(t, key); !slices.Equal(got, tt.routes) {
				t.Errorf("routes %v", got)
			}
			s, _ := m.sandboxes.Get("x")
			var ifs []string
			for _, e := range s.Endpoints {
				ifs = append(ifs, e.Network+"="+e.IfName)
			}
			if slices.Sort(ifs); strings.Join(ifs, " ") != tt.ifs {
				t.Errorf("interfaces %v", ifs)
			}
			if a := made["a"]; a != nil && a.Gateway.IsValid() {
				t.Errorf("an internal network has a gateway: %+v", a)
			}
		})
	}
}

// An endpoint comes and goes while the container runs: with traffic, the
// default route and the published ports.
func TestConnect(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "in", IPAM: subnets("10.66.1.0/24"), Internal: true})
	create(t, m, network.CreateRequest{Name: "app", IPAM: subnets("10.66.2.0/24")})
	create(t, m, network.CreateRequest{Name: "wan", IPAM: subnets("10.66.3.0/24")})
	ports := portMap(t, "8080:80/tcp")
	key, _, bound, err := m.Setup(t.Context(), "web", "web", on("in"), ports)
	if err != nil || len(bound) != 0 {
		t.Fatal(err, bound)
	}
	t.Cleanup(func() { teardown(t, m, "web") })
	listen(t, key, "tcp/:80", "web")
	peer, _ := setup(t, m, "peer", on("app"))

	// The first network that leads out brings the ports.
	made, bound := connect(t, m, "web", "app", &network.EndpointSettings{
		IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.66.2.9")}}, ports)
	if len(made) != 2 || made["app"].IPAddress.String() != "10.66.2.9" || len(bound) == 0 {
		t.Errorf("made %+v, bound %v", made["app"], bound)
	}
	if got := ask(t, peer, "tcp", "10.66.2.9:80"); got != "web sees 10.66.2.2" {
		t.Errorf("over the network: %q", got)
	}
	published := func(why, want string) {
		t.Helper()
		if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); got != want {
			t.Errorf("%s: %q", why, got)
		}
	}
	published("with app", "web sees 10.66.2.1")

	// One of higher priority takes them over.
	connect(t, m, "web", "wan", &network.EndpointSettings{GwPriority: 1}, ports)
	if got := defaultRoutes(t, key); !slices.Equal(got, []string{"eth2 10.66.3.1"}) {
		t.Errorf("routes with wan: %v", got)
	}
	published("with wan", "web sees 10.66.3.1")

	// A daemon that starts again finds all that.
	m = reopen(t, m)
	if err := m.Reconcile(t.Context(), []string{"web", "peer"}); err != nil {
		t.Fatal(err)
	}
	published("after a restart", "web sees 10.66.3.1")

	if _, _, err := m.Disconnect(t.Context(), "web", "wan", ports); err != nil {
		t.Fatal(err)
	}
	if got := defaultRoutes(t, key); !slices.Equal(got, []string{"eth1 10.66.2.1"}) {
		t.Errorf("routes without wan: %v", got)
	}
	published("without wan", "web sees 10.66.2.1")
	made, bound, err = m.Disconnect(t.Context(), "web", "app", ports)
	if err != nil || len(made) != 1 || len(bound) != 0 {
		t.Errorf("without app: %v, %v, %v", made, bound, err)
	}
	published("without app", "refused")
	if err := m.Remove(t.Context(), "app"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("peer is still there: %v", err)
	}
	if _, _, err := m.Disconnect(t.Context(), "web", "in", ports); err != nil {
		t.Fatal(err)
	}
	connect(t, m, "web", "wan", nil, ports)
	published("again", "web sees 10.66.3.1")
}

func TestConnectRefused(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app", IPAM: subnets("10.66.2.0/24")})
	create(t, m, network.CreateRequest{Name: "in", Internal: true})
	start(t, m, "holder", portMap(t, "8080:80/tcp"))
	setup(t, m, "web", on("bridge"))
	setup(t, m, "inside", on("in"))
	setup(t, m, "h", on("host"))
	for _, tt := range []struct {
		id, ref string
		s       *network.EndpointSettings
		ports   network.PortMap
		is      func(error) bool
		want    string
	}{
		{"web", "nope", nil, nil, errdefs.IsNotFound, "network nope not found"},
		{"web", "bridge", nil, nil, errdefs.IsPermissionDenied, "endpoint with name web already exists in network bridge"},
		{"gone", "app", nil, nil, errdefs.IsConflict, "container gone has no network"},
		{"h", "app", nil, nil, errdefs.IsInvalidArgument, "container sharing network namespace with another container or host"},
		{"web", "none", nil, nil, errdefs.IsInvalidArgument, "container sharing network namespace"},
		{"web", "app", &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.66.2.1")}}, nil,
			errdefs.IsAlreadyExists, "Address already in use"},
		{"web", "app", &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("10.9.2.1")}}, nil,
			errdefs.IsInvalidArgument, "no configured subnet or ip-range contain the IP address 10.9.2.1"},
		{"web", "app", &network.EndpointSettings{DriverOpts: map[string]string{"com.docker.network.endpoint.ifname": "eth0"}}, nil,
			errdefs.IsInvalidArgument, `interface name "eth0" is used twice`},
		{"web", "app", &network.EndpointSettings{DriverOpts: map[string]string{"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.nope=1"}}, nil,
			errdefs.IsInvalidArgument, "setting sysctl"},
		{"inside", "app", nil, portMap(t, "8080:80/tcp"), func(err error) bool { return err != nil }, "held by container holder"},
	} {
		_, _, err := m.Connect(t.Context(), tt.id, tt.ref, tt.s, tt.ports)
		if !tt.is(err) || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s to %s: got %v, want %s", tt.id, tt.ref, err, tt.want)
		}
	}
	if made, _, err := m.Disconnect(t.Context(), "web", "app", nil); err != nil || len(made) != 1 {
		t.Errorf("not connected: %v, %v", made, err)
	}
	if n, err := m.Inspect("app", false, ""); err != nil || len(n.Containers) > 0 || n.Status.IPAM.Subnets[n.IPAM.Config[0].Subnet].IPsInUse != 3 {
		t.Errorf("something is left: %+v, %v", n, err)
	}
	if ends, err := bridge.Endpoints(bridgeOf(t, m, "app")); err != nil || len(ends) > 0 {
		t.Errorf("left: %v, %v", ends, err)
	}
}

func bridgeOf(t *testing.T, m *Manager, name string) string {
	t.Helper()
	n, err := m.networks.find(name)
	if err != nil {
		t.Fatal(err)
	}
	return n.bridge.Name
}

// An endpoint that a crash left half added, or half taken away, goes at the next
// start; the rest of the container's stays.
func TestReconcilePending(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app"})
	key, ip, _ := start(t, m, "web", portMap(t, "8080:80/tcp"), "tcp/:80")
	connect(t, m, "web", "app", &network.EndpointSettings{GwPriority: 1}, nil)
	s, _ := m.sandboxes.Get("web")
	half := s.Copy()
	half.Endpoints[half.On("app")].Pending = true
	if err := m.sandboxes.Put(half); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, m)
	if err := again.Reconcile(t.Context(), []string{"web"}); err != nil {
		t.Fatal(err)
	}
	_, made, _, ok := again.Restore("web")
	if !ok || len(made) != 1 || made["bridge"].IPAddress != ip {
		t.Errorf("restored %v", made)
	}
	if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); got != "web sees 172.17.0.1" {
		t.Errorf("the port: %q", got)
	}
	if got := defaultRoutes(t, key); !slices.Equal(got, []string{"eth0 172.17.0.1"}) {
		t.Errorf("routes: %v", got)
	}
	if err := again.Remove(t.Context(), "app"); err != nil {
		t.Error(err)
	}
}

// A namespace that is still used by others is there for the next start; a start
// that fails leaves it.
func TestNamespaceIsKept(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app"})
	key, made := setup(t, m, "owner", on("app"))
	before, err := exec.Command("stat", "-L", "-c", "%i", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	listen(t, key, "tcp/:80", "joiner") // it runs on while its owner restarts
	if _, _, _, err := m.Setup(t.Context(), "owner", "owner", on("nope"), nil); !errdefs.IsNotFound(err) {
		t.Errorf("a start that fails: %v", err)
	}
	key2, made2 := setup(t, m, "owner", on("app"))
	after, err := exec.Command("stat", "-L", "-c", "%i", key2).Output()
	if err != nil || string(before) != string(after) || made2["app"].IPAddress != made["app"].IPAddress {
		t.Errorf("namespace %s, then %s; %v", before, after, err)
	}
	if got := ask(t, hostNetNS, "tcp", made2["app"].IPAddress.String()+":80"); got != "joiner sees 172.18.0.1" {
		t.Errorf("the joiner: %q", got)
	}
}

// Settings of one endpoint's interface.
func TestEndpointOptions(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app"})
	key, _ := setup(t, m, "c", map[string]*network.EndpointSettings{"app": {
		DriverOpts: map[string]string{"com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1"},
		IPAMConfig: &network.EndpointIPAMConfig{LinkLocalIPs: []netip.Addr{netip.MustParseAddr("169.254.7.7")}},
	}})
	out, err := exec.Command("nsenter", "--net="+key, "cat", "/proc/sys/net/ipv4/conf/eth0/log_martians").Output()
	if err != nil || string(out) != "1\n" {
		t.Errorf("sysctl: %q, %v", out, err)
	}
	nettest.In(t, key, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil || len(addrs) != 2 || addrs[1].IPNet.String() != "169.254.7.7/16" {
			t.Errorf("addresses: %v", addrs)
		}
		return err
	})
}

// One address a family, of the first subnet that has one left.
func TestSeveralSubnets(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app", IPAM: subnets("10.66.1.0/30", "10.66.2.0/24")})
	var got []string
	keys := map[string]string{}
	for _, id := range []string{"a", "b"} {
		key, made := setup(t, m, id, on("app"))
		keys[id] = key
		got = append(got, fmt.Sprintf("%s by %s", made["app"].IPAddress, made["app"].Gateway))
	}
	if want := []string{"10.66.1.2 by 10.66.1.1", "10.66.2.2 by 10.66.2.1"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	listen(t, keys["b"], "tcp/:80", "b")
	if got := ask(t, keys["a"], "tcp", "10.66.2.2:80"); got != "b sees 10.66.1.2" {
		t.Errorf("from one subnet to the other: %q", got)
	}
}
