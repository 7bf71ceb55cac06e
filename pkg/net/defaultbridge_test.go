package net

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
)

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
		expect(t, bKey, "tcp", to, want)
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
