package net

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/moby/moby/api/types/network"
)

// A link opens the ports of one neighbour to another where neighbours are kept
// apart, and nothing else, for as long as both are there; also when nobody sees the
// frames between a bridge's ports.
func TestLinksWithoutICC(t *testing.T) {
	for _, filtered := range []string{"0", "1"} {
		t.Run("br_netfilter="+filtered, func(t *testing.T) {
			for _, v := range []string{"iptables", "ip6tables"} {
				if err := bridge.Sysctl("net/bridge/bridge-nf-call-"+v, filtered); err != nil {
					t.Fatal(err)
				}
			}
			m := open(t, func(c *Config) { c.NoICC = true })
			create(t, m, network.CreateRequest{Name: "app"})
			db := onlyPort(t, m, "db")
			web, _ := setup(t, m, "web", onBridge)
			other, _ := setup(t, m, "other", onBridge)
			to := map[string][]network.Port{"db": {network.MustParsePort("80/tcp"), network.MustParsePort("53/udp")}, "later": {network.MustParsePort("80/tcp")}}
			if err := m.Link(t.Context(), "web", to); err != nil {
				t.Fatal(err)
			}
			listen(t, web, "tcp/:80", "web")
			check := func(when, ip, linked string) {
				t.Helper()
				t.Log(when)
				expect(t, web, "tcp", ip+":80", linked)
				expect(t, web, "udp", ip+":53", linked)
				expect(t, web, "tcp", ip+":81", "dropped")
				expect(t, other, "tcp", ip+":80", "dropped")
				expect(t, db, "tcp", "172.17.0.3:80", "dropped") // the other way
			}
			check("linked", "172.17.0.2", "db sees 172.17.0.3")
			m = reopen(t, m)
			if err := m.Reconcile(t.Context(), []string{"db", "web", "other"}); err != nil {
				t.Fatal(err)
			}
			check("after the daemon's death", "172.17.0.2", "db sees 172.17.0.3")

			// Its address is another's, and it has another one.
			teardown(t, m, "db")
			onlyPort(t, m, "squatter")
			expect(t, web, "tcp", "172.17.0.2:80", "dropped")
			db = onlyPort(t, m, "db")
			check("at another address", "172.17.0.5", "db sees 172.17.0.3")

			// Off the network, and on it again.
			if _, _, err := m.Disconnect(t.Context(), "db", "bridge", nil); err != nil {
				t.Fatal(err)
			}
			onlyPort(t, m, "third")
			expect(t, web, "tcp", "172.17.0.5:80", "dropped")
			connect(t, m, "db", "bridge", nil, nil)
			check("connected again", "172.17.0.6", "db sees 172.17.0.3")

			if err := m.Link(t.Context(), "web", map[string][]network.Port{"later": to["later"]}); err != nil {
				t.Fatal(err)
			}
			check("linked no more", "172.17.0.6", "dropped")
			onlyPort(t, m, "later")
			expect(t, web, "tcp", "172.17.0.7:80", "later sees 172.17.0.3")
			for _, id := range []string{"web", "db", "other", "squatter", "third", "later"} {
				teardown(t, m, id)
			}
			set, err := exec.Command("nft", "list", "set", "inet", m.cfg.table(), "linked").CombinedOutput()
			if err != nil || strings.Contains(string(set), "elements") {
				t.Errorf("left: %s, %v", set, err)
			}
		})
	}
}

// onlyPort is a container on the default network that serves two ports of TCP and
// one of UDP.
func onlyPort(t *testing.T, m *Manager, id string) string {
	t.Helper()
	key, _ := setup(t, m, id, onBridge)
	for _, s := range []string{"tcp/:80", "tcp/:81", "udp/:53"} {
		listen(t, key, s, id)
	}
	return key
}
