package net

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// executable has the manager execute upstream's macvlan and our address
// management, as make builds them.
func executable(t testing.TB) func(*Config) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir, "github.com/containernetworking/plugins/plugins/main/macvlan",
		"github.com/containernetworking/plugins/plugins/main/ipvlan", "github.com/berth-engine/berth/cmd/berth-cni").CombinedOutput()
	if err == nil {
		err = os.Symlink("berth-cni", filepath.Join(dir, "berth-ipam"))
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(c *Config) { c.CNIPath = []string{dir} }
}

func macvlan(name, parent, subnet, gateway string, options ...string) network.CreateRequest {
	q := network.CreateRequest{Name: name, Driver: "macvlan", Options: map[string]string{}}
	if parent != "" {
		q.Options["parent"] = parent
	}
	for _, o := range options {
		k, v, _ := strings.Cut(o, "=")
		q.Options[k] = v
	}
	if subnet != "" {
		q.IPAM = subnets(subnet)
		q.IPAM.Config[0].Gateway = netip.MustParseAddr(gateway)
	}
	return q
}

func exists(t testing.TB, link string) bool {
	t.Helper()
	there, err := bridge.Exists(link)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// Containers on a wire of the host's: they reach each other and who else is
// there, each by addresses of their own.
func TestMacvlan(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	listen(t, lan.Path, "tcp/192.0.2.9:80", "lan")
	m := open(t, executable(t))
	q := macvlan("wire", "lan", "192.0.2.0/24", "192.0.2.9", "com.docker.network.driver.mtu=1400")
	q.IPAM.Config[0].AuxAddress = map[string]netip.Addr{"host": netip.MustParseAddr("192.0.2.1")}
	create(t, m, q)
	web, _ := setup(t, m, "web", on("wire"))
	static := on("wire")
	static["wire"] = &network.EndpointSettings{MacAddress: network.HardwareAddr{2, 0, 0, 1, 2, 3},
		IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("192.0.2.100")}}
	db, made := setup(t, m, "db", static)
	if e := made["wire"]; e.IPAddress.String() != "192.0.2.100" || e.MacAddress.String() != "02:00:00:01:02:03" || e.Gateway.String() != "192.0.2.9" {
		t.Errorf("endpoint %+v", e)
	}
	listen(t, web, "tcp/:80", "web")
	listen(t, db, "tcp/:80", "db")
	for _, tt := range []struct{ name, from, to, want string }{
		{"a neighbour", db, "192.0.2.2:80", "web sees 192.0.2.100"},
		{"the other way", web, "192.0.2.100:80", "db sees 192.0.2.2"},
		{"who is on the wire", web, "192.0.2.9:80", "lan sees 192.0.2.2"},
		{"from the wire", lan.Path, "192.0.2.100:80", "db sees 192.0.2.9"},
	} {
		if got := ask(t, tt.from, "tcp", tt.to); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	_, _, _, err := m.Setup(t.Context(), "third", "third", static, nil)
	if !errdefs.IsAlreadyExists(err) && (err == nil || !strings.Contains(err.Error(), "Address already in use")) {
		t.Errorf("an address that is taken: %v", err)
	}
	// The daemon is killed, and containers are removed by the next one.
	again := reopen(t, m)
	if n, err := again.Inspect("wire", false, ""); err != nil || len(n.Containers) != 2 || n.Status.IPAM.Subnets[netip.MustParsePrefix("192.0.2.0/24")].IPsInUse != 6 {
		t.Errorf("after the restart: %+v, %v", n, err)
	}
	if got := ask(t, web, "tcp", "192.0.2.100:80"); got != "db sees 192.0.2.2" {
		t.Errorf("after the restart: %s", got)
	}
	if err := again.Remove(t.Context(), "wire"); err == nil || !strings.Contains(err.Error(), `name:"db"`) {
		t.Errorf("removed with containers on it: %v", err)
	}
	teardown(t, again, "web")
	teardown(t, again, "db")
	if err := again.Remove(t.Context(), "wire"); err != nil {
		t.Error(err)
	}
	if !exists(t, "lan") {
		t.Error("the parent went with the network")
	}
}

// Without a parent there is nobody but the network's containers.
func TestMacvlanWithoutParent(t *testing.T) {
	m := open(t, executable(t))
	n := create(t, m, macvlan("alone", "", "10.99.0.0/24", "10.99.0.1"))
	if !n.Internal {
		t.Error("the network is not internal")
	}
	parent := "dm-" + n.ID[:12]
	web, _ := setup(t, m, "web", on("alone"))
	db, _ := setup(t, m, "db", on("alone"))
	listen(t, web, "tcp/:80", "web")
	if got := ask(t, db, "tcp", "10.99.0.2:80"); got != "web sees 10.99.0.3" {
		t.Errorf("a neighbour: %q", got)
	}
	nettest.In(t, db, func() error {
		if out, _ := exec.Command("ip", "route", "show", "default").Output(); len(out) > 0 {
			t.Errorf("a way out: %s", out)
		}
		return nil
	})
	teardown(t, m, "web")
	teardown(t, m, "db")
	if err := bridge.DeleteLink(parent); err != nil { // as a reboot would
		t.Fatal(err)
	}
	again := reopen(t, m)
	if !exists(t, parent) {
		t.Error("the parent is not made again")
	}
	if err := again.Remove(t.Context(), "alone"); err != nil {
		t.Error(err)
	}
	if exists(t, parent) {
		t.Error("the parent is left")
	}
}

// Interfaces of VLANs are made, and go with the last network on them.
func TestVLANParent(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t, executable(t))
	if !bridge.Supported("vlan") { // the message says why, and nothing is left
		_, err := m.Create(t.Context(), macvlan("ten", lan.Dev+".10", "10.10.0.0/24", "10.10.0.1"))
		if _, notFound := m.Lookup("ten"); !errdefs.IsNotImplemented(err) || !errdefs.IsNotFound(notFound) {
			t.Errorf("without VLANs: %v, %v", err, notFound)
		}
		return
	}
	create(t, m, macvlan("ten", lan.Dev+".10", "10.10.0.0/24", "10.10.0.1"))
	create(t, m, macvlan("more", lan.Dev+".10", "10.11.0.0/24", "10.11.0.1"))
	for _, name := range []string{"ten", "more"} {
		if !exists(t, "lan.10") {
			t.Fatalf("no interface for %s", name)
		}
		if err := m.Remove(context.Background(), name); err != nil {
			t.Error(err)
		}
	}
	if exists(t, "lan.10") {
		t.Error("the interface is left")
	}
}

func TestBadParents(t *testing.T) {
	nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t)
	create(t, m, macvlan("shared", "lan", "10.1.0.0/24", "10.1.0.1"))
	for _, tt := range []struct{ name, parent, option, want string }{
		{"missing", "nope", "", "invalid subinterface vlan name nope, example formatting is eth0.10"},
		{"VLAN of what is missing", "nope.10", "", "-o parent interface does not exist on the host: nope"},
		{"VLAN of no number", "lan.x", "", "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"},
		{"loopback", "lo", "", "loopback interface is not a valid macvlan parent link"},
		{"mode", "lan", "macvlan_mode=x", "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default"},
		{"alone beside others", "lan", "macvlan_mode=passthru", "cannot use mode passthru, macvlan network "},
	} {
		_, err := m.Create(t.Context(), macvlan("bad", tt.parent, "10.2.0.0/24", "10.2.0.1", tt.option))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if _, err := m.Lookup("bad"); !errdefs.IsNotFound(err) {
			t.Errorf("%s: the network is there", tt.name)
		}
	}
	// ipvlan is where the kernel has it, and a clear no elsewhere.
	q := macvlan("ip", "lan.7", "10.3.0.0/24", "10.3.0.1")
	q.Driver = "ipvlan"
	_, err := m.Create(t.Context(), q)
	if bridge.Supported("ipvlan") {
		if err != nil {
			t.Error(err)
		}
		if err := m.Remove(t.Context(), "ip"); err != nil {
			t.Error(err)
		}
	} else if !errdefs.IsNotImplemented(err) || exists(t, "lan.7") {
		t.Errorf("ipvlan: %v", err)
	}
}
