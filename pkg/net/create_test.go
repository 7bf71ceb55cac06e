package net

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

// create makes a network, which goes at the test's end.
func create(t testing.TB, m *Manager, q network.CreateRequest) network.Inspect {
	t.Helper()
	made, err := m.Create(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running[m.cfg.ExecRoot].Remove(context.Background(), made.ID); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	})
	n, err := m.Inspect(made.ID, false, "")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func subnets(s ...string) *network.IPAM {
	i := &network.IPAM{}
	for _, p := range s {
		i.Config = append(i.Config, network.IPAMConfig{Subnet: netip.MustParsePrefix(p)})
	}
	return i
}

// setup starts a container on networks; it goes at the test's end.
func setup(t testing.TB, m *Manager, id string, wanted map[string]*network.EndpointSettings) (key string, made map[string]*network.EndpointSettings) {
	t.Helper()
	key, made, _, err := m.Setup(t.Context(), id, id, wanted, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { teardown(t, running[m.cfg.ExecRoot], id) })
	return key, made
}

func on(names ...string) map[string]*network.EndpointSettings {
	out := map[string]*network.EndpointSettings{}
	for _, n := range names {
		out[n] = nil
	}
	return out
}

// A network is there after a restart, and its bridge after somebody deleted it.
func TestNetworkSurvives(t *testing.T) {
	m := open(t)
	before := create(t, m, network.CreateRequest{Name: "app", Labels: map[string]string{"a": "b"},
		Options: map[string]string{"com.docker.network.driver.mtu": "1400", "com.example": "kept"}})
	name := "br-" + before.ID[:12]
	if l, err := netlink.LinkByName(name); err != nil || l.Attrs().MTU != 1400 {
		t.Fatalf("bridge: %+v, %v", l, err)
	}
	if err := bridge.DeleteLink(name); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, m)
	after, err := again.Inspect("app", false, "")
	if a, b := toJSON(t, before), toJSON(t, after); err != nil || a != b {
		t.Errorf("before %s\nafter  %s, %v", a, b, err)
	}
	if _, err := netlink.LinkByName(name); err != nil {
		t.Errorf("the bridge was not made again: %v", err)
	}
	// And while the daemon runs: the next start makes it.
	if err := bridge.DeleteLink(name); err != nil {
		t.Fatal(err)
	}
	_, made := setup(t, again, "c", on("app"))
	if made["app"].IPAddress.String() != "172.18.0.2" {
		t.Errorf("%+v", made["app"])
	}
}

// libcni can read a network's file.
func TestFileIsConflist(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app"})
	list, err := libcni.LoadConfList(m.dirs.networks(), "app")
	if err != nil || list.Plugins[0].Network.Type != "berth-bridge" {
		t.Errorf("%+v, %v", list, err)
	}
}

// A broken file is left out, and left alone; the rest works.
func TestBrokenFile(t *testing.T) {
	m := open(t)
	for name, text := range map[string]string{"cut": "{", "other": `{"berth":{"network":{"Name":"x"}}}`, "none": "null"} {
		if err := os.WriteFile(m.networks.files.File(name+"x"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(m.dirs.networks(), ".tmp-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := reopen(t, m)
	list, err := again.List(nil)
	files, _ := filepath.Glob(filepath.Join(m.dirs.networks(), "*"))
	hidden, _ := filepath.Glob(filepath.Join(m.dirs.networks(), ".tmp-*"))
	if err != nil || len(list) != 3 || len(files) != 6 || len(hidden) != 0 {
		t.Errorf("%v, %v, %v, %v", list, files, hidden, err)
	}
}

func TestCreateRefused(t *testing.T) {
	m := open(t)
	create(t, m, network.CreateRequest{Name: "app", IPAM: subnets("10.66.0.0/16"),
		Options: map[string]string{"com.docker.network.bridge.name": "mine0"}})
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: "cable0"})
	veth.PeerName = "cable1"
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	for _, tt := range []struct {
		q    network.CreateRequest
		is   func(error) bool
		want string
	}{
		{network.CreateRequest{Name: "app"}, errdefs.IsConflict, "network with name app already exists"},
		{network.CreateRequest{Name: "x", IPAM: subnets("10.66.1.0/24")}, errdefs.IsPermissionDenied,
			"invalid pool request: Pool overlaps with other one on this address space"},
		{network.CreateRequest{Name: "x", IPAM: subnets("10.0.0.0/8")}, errdefs.IsPermissionDenied,
			"invalid pool request: Pool overlaps with other one on this address space"},
		{network.CreateRequest{Name: "x", Options: map[string]string{"com.docker.network.bridge.name": "mine0"}},
			errdefs.IsPermissionDenied, "networks have same bridge name"},
		{network.CreateRequest{Name: "x", Options: map[string]string{"com.docker.network.bridge.name": "cable0"}},
			errdefs.IsFailedPrecondition, "interface cable0 exists and is no bridge but a veth"},
	} {
		_, err := m.Create(t.Context(), tt.q)
		if !tt.is(err) || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.q, err, tt.want)
		}
	}
	files, _ := filepath.Glob(filepath.Join(m.dirs.networks(), "*"))
	if list, _ := m.List(nil); len(list) != 4 || len(files) != 4 {
		t.Errorf("something is left: %v, %v", list, files)
	}
	if _, err := netlink.LinkByName("cable0"); err != nil {
		t.Errorf("the host's interface: %v", err)
	}
}

// A subnet that is chosen meets neither the host's addresses and routes nor
// other networks.
func TestChosenSubnet(t *testing.T) {
	m := open(t)
	nettest.NewHost(t, "lan", "172.18.5.1/24", "172.18.5.2/24")
	want := []string{"172.19.0.0/16", "172.20.0.0/16", "172.21.0.0/16"}
	for i, w := range want {
		n := create(t, m, network.CreateRequest{Name: fmt.Sprint("n", i)})
		if got := n.IPAM.Config[0].Subnet.String(); got != w {
			t.Errorf("network %d: %s", i, got)
		}
	}
	yes := true
	six := create(t, m, network.CreateRequest{Name: "six", EnableIPv6: &yes}).IPAM.Config
	if len(six) != 2 || six[1].Subnet.Bits() != 64 || !six[1].Subnet.Addr().IsPrivate() || six[1].Gateway != six[1].Subnet.Addr().Next() {
		t.Errorf("dual stack: %+v", six)
	}
}

// Networks that are made at the same time get different subnets; one of the
// same name is refused.
func TestCreateTogether(t *testing.T) {
	m := open(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = m.Create(t.Context(), network.CreateRequest{Name: fmt.Sprint("n", i/2)}) })
	}
	wg.Wait()
	conflicts := 0
	for _, err := range errs {
		if errdefs.IsConflict(err) {
			conflicts++
		} else if err != nil {
			t.Error(err)
		}
	}
	seen := map[netip.Prefix]bool{}
	for i := range 4 {
		n, err := m.Lookup(fmt.Sprint("n", i))
		if err != nil {
			t.Fatal(err)
		}
		seen[n.IPAM.Config[0].Subnet] = true
		if err := m.Remove(t.Context(), n.Name); err != nil {
			t.Error(err)
		}
	}
	if conflicts != 4 || len(seen) != 4 {
		t.Errorf("%d conflicts, subnets %v", conflicts, seen)
	}
}

func TestRemove(t *testing.T) {
	m := open(t)
	n := create(t, m, network.CreateRequest{Name: "app"})
	create(t, m, network.CreateRequest{Name: "config", ConfigOnly: true, Labels: map[string]string{"from": "config"}})
	user := create(t, m, network.CreateRequest{Name: "user", ConfigFrom: &network.ConfigReference{Network: "config"}})
	if user.Labels["from"] != "config" || user.ConfigFrom.Network != "config" {
		t.Errorf("from a configuration: %+v", user)
	}
	_, made := setup(t, m, "web", on("app"))
	for _, tt := range []struct {
		ref  string
		is   func(error) bool
		want string
	}{
		{"nope", errdefs.IsNotFound, "network nope not found"},
		{"bridge", errdefs.IsPermissionDenied, "bridge is a pre-defined network and cannot be removed"},
		{"host", errdefs.IsPermissionDenied, "host is a pre-defined network and cannot be removed"},
		{"config", errdefs.IsPermissionDenied, `error while removing network: configuration network "config" is in use by user`},
		{n.ID[:12], errdefs.IsPermissionDenied, `error while removing network: network app has active endpoints (name:"web" id:"` +
			made["app"].EndpointID[:12] + `")`},
	} {
		if err := m.Remove(t.Context(), tt.ref); !tt.is(err) || err.Error() != tt.want {
			t.Errorf("%s: got %v", tt.ref, err)
		}
	}
	if _, _, _, err := m.Setup(t.Context(), "x", "x", on("config"), nil); !errdefs.IsPermissionDenied(err) {
		t.Errorf("on a configuration: %v", err)
	}
	teardown(t, m, "web")
	if err := m.Remove(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if exists, err := bridge.Exists("br-" + n.ID[:12]); exists || err != nil {
		t.Errorf("the bridge is left: %v", err)
	}
	if out, err := exec.Command("nft", "list", "table", "inet", m.cfg.table()).CombinedOutput(); err != nil || strings.Contains(string(out), n.ID[:12]) {
		t.Errorf("the firewall knows it still: %s, %v", out, err)
	}
	// Its name and subnet are free, and its leases forgotten.
	again := create(t, m, network.CreateRequest{Name: "app"})
	if _, made := setup(t, m, "web2", on("app")); again.ID == n.ID || made["app"].IPAddress.String() != "172.18.0.2" {
		t.Errorf("again: %+v", made["app"])
	}
}

// A bridge of the host's serves a network and survives it.
func TestForeignBridge(t *testing.T) {
	m := open(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "hosts0"
	br := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(br) })
	create(t, m, network.CreateRequest{Name: "app", IPAM: subnets("10.67.0.0/24"), Options: map[string]string{"com.docker.network.bridge.name": "hosts0"}})
	again := reopen(t, m)
	setup(t, again, "c", on("app"))
	teardown(t, again, "c")
	if err := again.Remove(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(br, netlink.FAMILY_V4)
	if err != nil || len(addrs) != 0 {
		t.Errorf("the bridge: %v, %v", addrs, err)
	}
}

// A start and a removal at the same time: either the network stays, or the
// start is refused.
func TestRemoveWhileStarting(t *testing.T) {
	m := open(t)
	for i := range 20 {
		create(t, m, network.CreateRequest{Name: "app"})
		id := fmt.Sprint("c", i)
		var wg sync.WaitGroup
		var started, removed error
		wg.Go(func() { _, _, _, started = m.Setup(t.Context(), id, id, on("app"), nil) })
		wg.Go(func() { removed = m.Remove(t.Context(), "app") })
		wg.Wait()
		switch {
		case started == nil && !errdefs.IsPermissionDenied(removed), started != nil && (!errdefs.IsNotFound(started) || removed != nil):
			t.Fatalf("started: %v, removed: %v", started, removed)
		case started == nil:
			teardown(t, m, id)
			if err := m.Remove(t.Context(), "app"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPrune(t *testing.T) {
	var seen []string
	m := open(t, func(c *Config) {
		c.Events = func(e events.Message) { seen = append(seen, string(e.Action)+" "+e.Actor.Attributes["name"]) }
	})
	for _, n := range []string{"used", "labelled", "idle", "new"} {
		create(t, m, network.CreateRequest{Name: n, Labels: map[string]string{"name": n}})
	}
	setup(t, m, "c", on("used"))
	for _, tt := range []struct {
		f    filters.Args
		want []string // nil: refused
	}{
		{filters.Args{"colour": {"red"}}, nil},
		{filters.Args{"until": {"whenever"}}, nil},
		{filters.Args{"until": {"1h"}}, []string{}},
		{filters.Args{"label": {"name=labelled"}}, []string{"labelled"}},
		{filters.Args{"label!": {"name=new"}}, []string{"idle"}},
		{nil, []string{"new"}},
	} {
		got, err := m.Prune(t.Context(), tt.f)
		if tt.want == nil && !errdefs.IsInvalidArgument(err) || tt.want != nil && (err != nil || !slices.Equal(got.NetworksDeleted, tt.want)) {
			t.Errorf("%v: %v, %v", tt.f, got, err)
		}
	}
	want := []string{"create used", "create labelled", "create idle", "create new", "prune ",
		"destroy labelled", "prune ", "destroy idle", "prune ", "destroy new", "prune "}
	if !slices.Equal(seen, want) {
		t.Errorf("events %q", seen)
	}
}
