package net

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

// Ports that name no address are published at the daemon's default one, or the
// network's.
func TestDefaultBinding(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	address(t, lan.Dev, "192.0.2.2/24")
	m := open(t, func(c *Config) { c.HostIP = netip.MustParseAddr("127.0.0.1") })
	create(t, m, network.CreateRequest{Name: "app", Options: map[string]string{"com.docker.network.bridge.host_binding_ipv4": "192.0.2.2"}})
	start(t, m, "web", portMap(t, "8080:80/tcp", "192.0.2.1:8081:80/tcp"), "tcp/:80")
	key, _, bound, err := m.Setup(t.Context(), "site", "site", on("app"), portMap(t, "9090:80/tcp", "0.0.0.0:9091:80/tcp"))
	if err != nil || len(bound[network.MustParsePort("80/tcp")]) != 2 {
		t.Fatal(bound, err)
	}
	t.Cleanup(func() { teardown(t, m, "site") })
	listen(t, key, "tcp/:80", "site")
	for _, tt := range []struct{ name, from, to, want string }{
		{"the daemon's", hostNetNS, "127.0.0.1:8080", "web sees 172.17.0.1"},
		{"it alone", lan.Path, "192.0.2.1:8080", "refused"},
		{"named", lan.Path, "192.0.2.1:8081", "web sees 192.0.2.9"},
		{"the network's", lan.Path, "192.0.2.2:9090", "site sees 192.0.2.9"},
		{"it alone", lan.Path, "192.0.2.1:9090", "refused"},
		{"it alone", hostNetNS, "127.0.0.1:9090", "refused"},
		{"all, named", lan.Path, "192.0.2.1:9091", "site sees 192.0.2.9"},
	} {
		t.Run(tt.name+" "+tt.to, func(t *testing.T) { expect(t, tt.from, "tcp", tt.to, tt.want) })
	}
}

// What bridges and endpoints are like, by the driver's options.
func TestBridgeOptions(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	listen(t, lan.Path, "tcp/:80", "lan")
	m := open(t)
	const prefix = "com.docker.network."
	for i, tt := range []struct {
		name, option, value string
		bridge              string // what is to be seen of it
		inside              string // and of the endpoint
		out                 string // how another host sees the container
	}{
		{"defaults", prefix + "bridge.enable_icc", "true", "10.81.0.1/24", "mtu 1500", "lan sees 192.0.2.1"},
		{"name", prefix + "bridge.name", "mine0", "mine0:", "eth0", "lan sees 192.0.2.1"},
		{"mtu", prefix + "driver.mtu", "1300", "mtu 1300", "mtu 1300", "lan sees 192.0.2.1"},
		{"masquerade", prefix + "bridge.enable_ip_masquerade", "false", "10.81.3.1/24", "10.81.3.2/24", "lan sees 10.81.3.2"},
		{"prefix", prefix + "container_iface_prefix", "lan", "10.81.4.1/24", "lan0", "lan sees 192.0.2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := create(t, m, network.CreateRequest{Name: "app", IPAM: subnets(fmt.Sprintf("10.81.%d.0/24", i)), Options: map[string]string{tt.option: tt.value}})
			key, _ := setup(t, m, "c", on("app"))
			show := func(what, ns, want string) {
				t.Helper()
				out, err := exec.Command("nsenter", "--net="+ns, "ip", "addr").Output()
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%s shows no %q: %s, %v", what, want, out, err)
				}
			}
			show("the host", hostNetNS, tt.bridge)
			show("the container", key, tt.inside)
			expect(t, key, "tcp", "192.0.2.9:80", tt.out)
			teardown(t, m, "c")
			if err := m.Remove(t.Context(), n.ID); err != nil {
				t.Error(err)
			}
		})
	}
	// The gateway is a router on the bridge, not the host.
	n := create(t, m, network.CreateRequest{Name: "app", IPAM: subnets("10.81.9.0/24"), Options: map[string]string{prefix + "bridge.inhibit_ipv4": "true"}})
	for range 2 { // the second time the bridge is made by the start
		key, _ := setup(t, m, "c", on("app"))
		out, err := exec.Command("ip", "-4", "addr", "show", "br-"+n.ID[:12]).Output()
		if err != nil || strings.Contains(string(out), "inet") {
			t.Errorf("inhibit_ipv4: %s, %v", out, err)
		}
		if got := defaultRoutes(t, key); !slices.Equal(got, []string{"eth0 10.81.9.1"}) {
			t.Errorf("routes %v", got)
		}
		teardown(t, m, "c")
		if err := bridge.DeleteLink("br-" + n.ID[:12]); err != nil {
			t.Fatal(err)
		}
	}
}

// Networks take the MTU of the device of the default route.
func TestDefaultMTU(t *testing.T) {
	if got := bridge.DefaultMTU(); got != 1500 {
		t.Errorf("without a default route: %d", got)
	}
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	link, err := netlink.LinkByName(lan.Dev)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(link, 1342); err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: netip.MustParseAddr("192.0.2.9").AsSlice()}
	if err := netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app"})
	for _, name := range []string{"bridge", "app"} {
		key, _ := setup(t, m, "on-"+name, on(name))
		nettest.In(t, key, func() error {
			eth0, err := netlink.LinkByName("eth0")
			if err == nil && eth0.Attrs().MTU != 1342 {
				t.Errorf("on %s: %d", name, eth0.Attrs().MTU)
			}
			return err
		})
	}
}

// Who is slow to get on a network keeps nobody else waiting.
func TestStartsDoNotWait(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, config := obstinate(t)
	m := open(t, config, func(c *Config) {
		// The plugin of the network waits for one of the containers.
		plugin := filepath.Join(c.CNIPath[0], "obstinate")
		b, err := os.ReadFile(plugin)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), "case $CNI_COMMAND in", "if [ $CNI_COMMAND$CNI_CONTAINERID = ADDslow ]; then echo waits >"+fifo+"; cat "+fifo+" >/dev/null; fi\ncase $CNI_COMMAND in", 1)
		if err := os.WriteFile(plugin, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	})
	done := make(chan error, 1)
	go func() {
		_, _, _, err := m.Setup(t.Context(), "slow", "slow", on("lab"), nil)
		done <- err
	}()
	if _, err := os.ReadFile(fifo); err != nil { // it waits
		t.Fatal(err)
	}
	key, _ := setup(t, m, "fast", on("lab"))
	listen(t, key, "tcp/:80", "fast")
	other, _ := setup(t, m, "other", on("lab"))
	expect(t, other, "tcp", "10.77.0.3:80", "fast sees 10.77.0.4")
	teardown(t, m, "other")
	select {
	case err := <-done:
		t.Fatalf("the slow one did not wait: %v", err)
	default:
	}
	if err := os.WriteFile(fifo, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	teardown(t, m, "slow")
}

// ipvlan where the kernel has it; elsewhere it is refused when the network is made,
// with the reason, and nothing is left.
func TestIPvlan(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	listen(t, lan.Path, "tcp/:80", "lan")
	m := open(t, executable(t))
	q := macvlan("wire", "lan", "192.0.2.0/24", "192.0.2.9")
	q.Driver = "ipvlan"
	q.IPAM.Config[0].AuxAddress = map[string]netip.Addr{"host": netip.MustParseAddr("192.0.2.1")}
	if !bridge.Supported("ipvlan") {
		_, err := m.Create(t.Context(), q)
		if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "ipvlan") {
			t.Errorf("without ipvlan: %v", err)
		}
		if _, err := m.Lookup("wire"); !errdefs.IsNotFound(err) {
			t.Errorf("the network is there: %v", err)
		}
		return
	}
	create(t, m, q)
	web, _ := setup(t, m, "web", on("wire"))
	listen(t, web, "tcp/:80", "web")
	db, _ := setup(t, m, "db", on("wire"))
	expect(t, db, "tcp", "192.0.2.2:80", "web sees 192.0.2.3")
	expect(t, db, "tcp", "192.0.2.9:80", "lan sees 192.0.2.3")
	expect(t, lan.Path, "tcp", "192.0.2.2:80", "web sees 192.0.2.9")
}
