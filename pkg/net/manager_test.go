package net

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	stdnet "net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" { // in TestKill's namespaces already
		os.Exit(m.Run())
	}
	nettest.Main(m)
}

var onBridge = map[string]*network.EndpointSettings{"bridge": nil}

// running is the manager of an EXEC that runs now; the tests here are not parallel.
var running = map[string]*Manager{}

// open starts a daemon's networks; the test's end must find nothing left.
func open(t testing.TB, change ...func(*Config)) *Manager {
	t.Helper()
	c := Config{DataRoot: t.TempDir(), ExecRoot: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	m, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	running[c.ExecRoot] = m
	t.Cleanup(func() {
		m := running[c.ExecRoot]
		nothingLeft(t, m)
		if err := m.Close(context.Background(), true); err != nil {
			t.Error(err)
		}
		if _, err := netlink.LinkByName(m.cfg.Bridge); err == nil {
			t.Errorf("bridge %s is left", m.cfg.Bridge)
		}
		if out, _ := exec.Command("nft", "list", "tables").CombinedOutput(); strings.Contains(string(out), m.cfg.table()) {
			t.Errorf("the table is left: %s", out)
		}
	})
	return m
}

// reopen is what a daemon that was killed does when it starts again.
func reopen(t testing.TB, m *Manager) *Manager {
	t.Helper()
	if err := m.close(); err != nil { // the kernel does that for a dead process
		t.Fatal(err)
	}
	again, err := New(t.Context(), m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	running[m.cfg.ExecRoot] = again
	return again
}

// nothingLeft checks that no container has left anything.
func nothingLeft(t testing.TB, m *Manager) {
	t.Helper()
	for _, pattern := range []string{"net/sandboxes/*", "net/sandboxes/.*", "net/leases/*/*", "net/cni/results/*", "netns/*"} {
		left, err := filepath.Glob(filepath.Join(m.cfg.ExecRoot, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	ends, err := bridge.Endpoints(m.cfg.Bridge)
	if err != nil || len(ends) > 0 {
		t.Errorf("left: %v, %v", ends, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), m.netnsDir()) {
		t.Errorf("a namespace is left mounted: %v\n%s", err, mounts)
	}
	for _, table := range []string{"hosts4", "ports4"} {
		out, err := exec.Command("nft", "list", "map", "inet", m.cfg.table(), table).CombinedOutput()
		if err == nil && strings.Contains(string(out), "elements") {
			t.Errorf("published ports are left: %s", out)
		}
	}
}

func TestBridge(t *testing.T) {
	m := open(t, func(c *Config) { c.BIP = netip.MustParsePrefix("10.77.0.1/24"); c.MTU = 1400 })
	key, made, bound, err := m.Setup(t.Context(), "c1", "web", onBridge, portMap(t, "8080:80/tcp", "127.0.0.1:9000-9001:90/udp", ":81/tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer teardown(t, m, "c1")
	e := made["bridge"]
	n, _ := m.Lookup("bridge")
	if key != m.netnsPath("c1") || e.NetworkID != n.ID || len(e.EndpointID) != 64 || e.IPAddress.String() != "10.77.0.2" ||
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
	static := func(ip string) map[string]*network.EndpointSettings {
		return map[string]*network.EndpointSettings{"bridge": {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr(ip)}}}
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
		{"an address outside", "x", static("10.1.2.3"), nil, "no configured subnet contains IP address 10.1.2.3"},
		{"an address in use", "x", static("172.17.0.2"), portMap(t, "7070:70/tcp"), "Address already in use"},
		{"no such network", "x", map[string]*network.EndpointSettings{"nope": nil}, nil, "network nope not found"},
		{"IPv6 without", "x", onBridge, portMap(t, "[::1]:7070:70/tcp"), "has no IPv6"},
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

func TestStaticAddress(t *testing.T) {
	m := open(t)
	_, made, _, err := m.Setup(t.Context(), "s", "s", map[string]*network.EndpointSettings{"bridge": {
		MacAddress: network.HardwareAddr{2, 0, 0, 1, 2, 3},
		IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: netip.MustParseAddr("172.17.9.9")}}}, nil)
	if err != nil || made["bridge"].IPAddress.String() != "172.17.9.9" || made["bridge"].MacAddress.String() != "02:00:00:01:02:03" {
		t.Errorf("%+v, %v", made["bridge"], err)
	}
	teardown(t, m, "s")
}

// A daemon that starts again: living containers keep everything, the dead lose it.
func TestReconcile(t *testing.T) {
	m := open(t)
	_, ip, _ := start(t, m, "alive", portMap(t, "8080:80/tcp"), "tcp/:80")
	start(t, m, "dead", portMap(t, "9090:90/tcp"))
	if err := exec.Command("nft", "flush", "ruleset").Run(); err != nil { // while it is away
		t.Fatal(err)
	}
	again := reopen(t, m)
	if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); got != "alive sees 172.17.0.1" {
		t.Errorf("before Reconcile: %q", got)
	}
	if err := again.Reconcile(t.Context(), []string{"alive", "unknown"}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); got != "alive sees 172.17.0.1" {
		t.Errorf("after Reconcile: %q", got)
	}
	key, made, bound, ok := again.Restore("alive")
	if !ok || key != again.netnsPath("alive") || made["bridge"].IPAddress != ip || len(bound) != 1 {
		t.Errorf("restored: %q %+v %v %v", key, made["bridge"], bound, ok)
	}
	if _, _, _, ok := again.Restore("dead"); ok {
		t.Error("the dead were restored")
	}
	_, _, _, err := again.Setup(t.Context(), "new", "new", onBridge, portMap(t, "8080:80/tcp"))
	if err == nil || !strings.Contains(err.Error(), "held by container alive") {
		t.Errorf("a port that is held: %v", err)
	}
	_, ip, _ = start(t, again, "new", portMap(t, "9090:90/tcp"))
	if ip.String() != "172.17.0.3" {
		t.Errorf("the dead one's address is not free: got %s", ip)
	}
	teardown(t, again, "alive")
}

// Whatever a start had made when the daemon died is found.
func TestReconcileHalfMade(t *testing.T) {
	for _, tt := range []struct {
		name string
		undo func(t *testing.T, m *Manager, s *sandbox) // takes back what was not made yet
	}{
		{"all", func(*testing.T, *Manager, *sandbox) {}},
		{"before the second record", func(t *testing.T, m *Manager, s *sandbox) { unready(t, m, s) }},
		{"before libcni's note", func(t *testing.T, m *Manager, s *sandbox) {
			unready(t, m, s)
			remove(t, m.stateDir("cni"))
		}},
		{"a note cut off", func(t *testing.T, m *Manager, s *sandbox) {
			unready(t, m, s)
			notes, _ := filepath.Glob(filepath.Join(m.stateDir("cni"), "results", "*"))
			for _, n := range notes {
				if err := os.Truncate(n, 20); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"before the veth", func(t *testing.T, m *Manager, s *sandbox) {
			unready(t, m, s)
			remove(t, m.stateDir("cni"))
			if err := bridge.DeleteLink(bridge.HostName(s.ID, "eth0")); err != nil {
				t.Fatal(err)
			}
		}},
		{"before the namespace was pinned", func(t *testing.T, m *Manager, s *sandbox) {
			unready(t, m, s)
			remove(t, m.stateDir("cni"))
			remove(t, m.stateDir("leases"))
			if err := bridge.DeleteNetNS(s.Key); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.Key, nil, 0o400); err != nil {
				t.Fatal(err)
			}
		}},
		{"a record that cannot be read", func(t *testing.T, m *Manager, s *sandbox) {
			if err := os.WriteFile(m.sandboxFile(s.ID), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"no record", func(t *testing.T, m *Manager, s *sandbox) { remove(t, m.sandboxFile(s.ID)) }},
		{"a record half written", func(t *testing.T, m *Manager, s *sandbox) {
			if err := os.Rename(m.sandboxFile(s.ID), filepath.Join(m.stateDir(sandboxDir), ".tmp-1")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := open(t)
			if _, _, _, err := m.Setup(t.Context(), "c", "c", onBridge, portMap(t, "8080:80/tcp")); err != nil {
				t.Fatal(err)
			}
			s, _ := m.sandbox("c")
			tt.undo(t, m, s)
			again := reopen(t, m)
			if err := again.Reconcile(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, again)
		})
	}
}

func unready(t *testing.T, m *Manager, s *sandbox) {
	t.Helper()
	half := *s
	half.Ready = false
	if err := m.record(&half); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// The network stays what it was from one start to the next.
func TestDefaultBridgeIsStable(t *testing.T) {
	m := open(t)
	before, _ := m.Inspect("bridge", false, "")
	again := reopen(t, m)
	after, _ := again.Inspect("bridge", false, "")
	if a, b := toJSON(t, before), toJSON(t, after); a != b {
		t.Errorf("before %s\nafter  %s", a, b)
	}
	// The host was restarted, and now uses our subnet: no containers can be there.
	if err := again.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	lan := nettest.NewHost(t, "lan", "172.17.5.1/24", "172.17.5.2/24")
	third, err := New(t.Context(), again.cfg)
	if err != nil {
		t.Fatal(err)
	}
	moved, _ := third.Lookup("bridge")
	if moved.ID != after.ID || !moved.Created.Equal(after.Created) || moved.IPAM.Config[0].Subnet.String() != "172.18.0.0/16" {
		t.Errorf("moved: %+v (beside %s)", moved, lan.Dev)
	}
	running[m.cfg.ExecRoot] = third
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestChooseGateway(t *testing.T) {
	p := func(s string) netip.Prefix {
		if s == "" {
			return netip.Prefix{}
		}
		return netip.MustParsePrefix(s)
	}
	for _, tt := range []struct{ name, bip, existing, recorded, used, want string }{
		{"first start", "", "", "", "", "172.17.0.1/16"},
		{"beside another", "", "", "", "172.17.0.0/16", "172.18.0.1/16"},
		{"what it had", "", "", "172.30.0.1/16", "172.17.0.0/16", "172.30.0.1/16"},
		{"what it had is used now", "", "", "172.30.0.1/16", "172.30.1.0/24", "172.17.0.1/16"},
		{"the bridge is there", "", "10.5.0.1/24", "172.30.0.1/16", "10.5.0.0/16", "10.5.0.1/24"},
		{"configured", "10.9.0.1/24", "10.5.0.1/24", "172.30.0.1/16", "10.9.0.0/16", "10.9.0.1/24"},
		{"configured wrong", "10.9.0.0/24", "", "", "", ""},
		{"configured too small", "10.9.0.1/31", "", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var used []netip.Prefix
			if tt.used != "" {
				used = []netip.Prefix{p(tt.used)}
			}
			c := Config{}
			if err := c.complete(); err != nil {
				t.Fatal(err)
			}
			got, err := chooseGateway(p(tt.bip), p(tt.existing), p(tt.recorded), c.Pools, used)
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

// Several daemons on one host, each with its bridge, table and subnet.
func TestDaemonsBesideEachOther(t *testing.T) {
	a := open(t)
	b := open(t, func(c *Config) { c.Bridge = "berth-b" })
	start(t, a, "c", portMap(t, "8080:80/tcp"), "tcp/:80")
	bKey, ip, _ := start(t, b, "d", portMap(t, "8081:80/tcp"), "tcp/:80")
	if ip.String() != "172.18.0.2" {
		t.Errorf("the second daemon's subnet: %s", ip)
	}
	_, _, _, err := b.Setup(t.Context(), "e", "e", onBridge, portMap(t, "8080:80/tcp"))
	if err == nil || !strings.Contains(err.Error(), "failed to bind host port 0.0.0.0:8080/tcp: address already in use") {
		t.Errorf("a port of the other daemon: %v", err)
	}
	for to, want := range map[string]string{"172.17.0.2:80": "dropped", "172.17.0.1:8080": "c sees 172.17.0.1"} {
		if got := ask(t, bKey, "tcp", to); got != want {
			t.Errorf("%s from the other daemon's: %q", to, got)
		}
	}
}

func TestDisableBridge(t *testing.T) {
	m := open(t, func(c *Config) { c.DisableBridge = true })
	if _, err := m.Lookup("bridge"); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if n, err := m.Lookup("default"); err != nil || n.Name != "none" {
		t.Errorf("default: %v, %v", n, err)
	}
}

// A bridge that somebody deleted is made again.
func TestBridgeDeleted(t *testing.T) {
	m := open(t)
	if err := bridge.DeleteLink(m.cfg.Bridge); err != nil {
		t.Fatal(err)
	}
	start(t, m, "c", portMap(t, "8080:80/tcp"), "tcp/:80")
	if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); got != "c sees 172.17.0.1" {
		t.Errorf("got %q", got)
	}
}

func TestLookup(t *testing.T) {
	m := open(t)
	n, err := m.Lookup("bridge")
	if err != nil || n.Driver != "bridge" || n.Scope != "local" || len(n.ID) != 64 || n.Created.IsZero() ||
		n.Options[optBridgeName] != "berth0" || n.Options[optMTU] != "1500" {
		t.Errorf("%+v, %v", n, err)
	}
	n.Options[optMTU] = "changed by the caller"
	for _, ref := range []string{n.ID, n.ID[:12], "default"} {
		if got, err := m.Lookup(ref); err != nil || got.Name != "bridge" || got.Options[optMTU] != "1500" {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"", "nope", n.ID + "0", "../bridge"} {
		_, err := m.Lookup(ref)
		if !errdefs.IsNotFound(err) || err.Error() != fmt.Sprintf("network %s not found", ref) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if _, err := m.Inspect("bridge", false, "swarm"); !errdefs.IsNotFound(err) {
		t.Errorf("scope swarm: %v", err)
	}
}

func TestList(t *testing.T) {
	m := open(t)
	for _, tt := range []struct {
		filter filters.Args
		want   []string // nil: InvalidArgument
	}{
		{nil, []string{"bridge", "host", "none"}},
		{filters.Args{"name": {"o"}}, []string{"host", "none"}},
		{filters.Args{"name": {"^no", "br"}}, []string{"bridge", "none"}},
		{filters.Args{"name": {"("}}, []string{}},
		{filters.Args{"driver": {"null"}}, []string{"none"}},
		{filters.Args{"scope": {"swarm"}}, []string{}},
		{filters.Args{"type": {"builtin"}}, []string{"bridge", "host", "none"}},
		{filters.Args{"type": {"custom"}}, []string{}},
		{filters.Args{"type": {"x"}}, nil},
		{filters.Args{"dangling": {"true"}}, []string{}},
		{filters.Args{"dangling": {"false"}}, []string{"bridge", "host", "none"}},
		{filters.Args{"dangling": {"maybe"}}, nil},
		{filters.Args{"label": {"a"}}, []string{}},
		{filters.Args{"colour": {"red"}}, nil},
	} {
		got, err := m.List(tt.filter)
		if tt.want == nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v: %v, %v", tt.filter, got, err)
			}
			continue
		}
		names := []string{}
		for _, n := range got {
			names = append(names, n.Name)
		}
		if err != nil || !slices.Equal(names, tt.want) {
			t.Errorf("%v: %v, %v", tt.filter, names, err)
		}
	}
}

// The JSON that a client of Docker gets for a default bridge.
func TestInspectJSON(t *testing.T) {
	m := open(t)
	in, err := m.Inspect("bridge", false, "")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.NewReplacer(in.ID, "ID", in.Created.Format("2006-01-02T15:04:05.999999999Z07:00"), "CREATED").Replace(toJSON(t, in))
	want := `{"Name":"bridge","Id":"ID","Created":"CREATED","Scope":"local","Driver":"bridge","EnableIPv4":true,"EnableIPv6":false,` +
		`"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]},` +
		`"Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,` +
		`"Options":{"com.docker.network.bridge.default_bridge":"true","com.docker.network.bridge.enable_icc":"true",` +
		`"com.docker.network.bridge.enable_ip_masquerade":"true","com.docker.network.bridge.host_binding_ipv4":"0.0.0.0",` +
		`"com.docker.network.bridge.name":"berth0","com.docker.network.driver.mtu":"1500"},"Labels":{},"Containers":{},` +
		`"Status":{"IPAM":{"Subnets":{"172.17.0.0/16":{"IPsInUse":3,"DynamicIPsAvailable":65533}}}}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
