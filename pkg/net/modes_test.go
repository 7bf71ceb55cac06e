package net

import (
	"fmt"
	stdnet "net"
	"os"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const gatewayMode = "com.docker.network.bridge.gateway_mode_ipv"

// computer is another host beside ours, with both IP versions: x.9 and ::9,
// where we are x.1 and ::1.
func computer(t testing.TB, name, subnet4, subnet6 string) *nettest.Host {
	t.Helper()
	h := nettest.NewHost(t, name, subnet4+".1/24", subnet4+".9/24")
	// The kernel's own link-local addresses are not used before it has looked for
	// duplicates, and no neighbour is asked for without one.
	address(t, name, "fe80::1/64")
	address(t, name, subnet6+"::1/64")
	nettest.In(t, h.Path, func() error {
		address(t, "eth0", "fe80::9/64")
		address(t, "eth0", subnet6+"::9/64")
		_, all, err := stdnet.ParseCIDR("::/0")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: all, Gw: stdnet.ParseIP(subnet6 + "::1")})
	})
	return h
}

// address gives a device one more, to be used at once.
func address(t testing.TB, dev, addr string) {
	t.Helper()
	l, err := netlink.LinkByName(dev)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	a.Flags = unix.IFA_F_NODAD
	if err := netlink.AddrAdd(l, a); err != nil {
		t.Fatal(err)
	}
}

// card makes the cable to h end at a device that is no veth, as on a computer:
// veths are other engines', which are let through.
func card(t *testing.T, h *nettest.Host, addr string) {
	t.Helper()
	l, err := netlink.LinkByName(h.Dev)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrDel(l, a); err != nil {
		t.Fatal(err)
	}
	if err := bridge.Sysctl("net/ipv4/conf/"+h.Dev+"/arp_ignore", "1"); err != nil { // the card answers
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Flags = h.Dev+"card", l.Attrs().Index, stdnet.FlagUp
	c := &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}
	if err := netlink.LinkAdd(c); err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(c, a); err != nil {
		t.Fatal(err)
	}
}

// bridged makes a network of both IP versions, and two containers, named after
// it, that serve the ports 80 and 81; of the first, 80 is published.
func bridged(t testing.TB, m *Manager, name string, number int, publish string, internal bool, options ...string) (first, second string) {
	t.Helper()
	q := network.CreateRequest{Name: name, IPAM: subnets(fmt.Sprintf("10.80.%d.0/24", number), fmt.Sprintf("fd80:%d::/64", number)),
		Internal: internal, EnableIPv6: new(bool), Options: map[string]string{}}
	*q.EnableIPv6 = true
	for _, o := range options {
		k, v, _ := strings.Cut(o, "=")
		q.Options[k] = v
	}
	create(t, m, q)
	var keys []string
	for i, p := range []network.PortMap{portMap(t, publish+":80/tcp", publish+":80/udp"), nil} {
		id := fmt.Sprintf("%s%d", name, i+1)
		key, _, _, err := m.Setup(t.Context(), id, id, on(name), p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { teardown(t, m, id) })
		for _, s := range []string{"tcp/:80", "tcp/:81", "udp/:80"} {
			listen(t, key, s, id)
		}
		keys = append(keys, key)
	}
	return keys[0], keys[1]
}

// TestModes: who reaches whom between networks of every kind, over both IP
// versions. The first container of network n has the addresses 10.80.n.2 and
// fd80:n::2; "lan" is another computer with routes to all of them.
func TestModes(t *testing.T) {
	for _, filtered := range []string{"0", "1"} { // whether br_netfilter calls the rules for frames between a bridge's ports
		t.Run("br_netfilter="+filtered, func(t *testing.T) {
			for _, v := range []string{"iptables", "ip6tables"} {
				if err := bridge.Sysctl("net/bridge/bridge-nf-call-"+v, filtered); err != nil {
					t.Fatal(err)
				}
			}
			lan := computer(t, "lan", "192.0.2", "2001:db8")
			m := open(t)
			nat, _ := bridged(t, m, "nat", 1, "8081", false)
			closed, closed2 := bridged(t, m, "closed", 2, "8082", false, "com.docker.network.bridge.enable_icc=false")
			inside, inside2 := bridged(t, m, "inside", 3, "8083", true)
			routed, _ := bridged(t, m, "routed", 4, "8084", false, gatewayMode+"4=routed", gatewayMode+"6=routed")
			bare, _ := bridged(t, m, "bare", 5, "8085", false, gatewayMode+"4=nat-unprotected", gatewayMode+"6=nat-unprotected")
			_, _ = bridged(t, m, "trusting", 6, "127.0.0.1:8086", false, "com.docker.network.bridge.trusted_host_interfaces=lan")
			as, _ := bridged(t, m, "as", 7, "8087", false, "com.docker.network.host_ipv4=192.0.2.77")
			for _, s := range []string{"tcp/:80", "udp/:80"} {
				listen(t, lan.Path, s, "lan")
			}
			address(t, lan.Dev, "192.0.2.77/24")
			for _, tt := range []struct {
				name, from string
				to4, to6   string // ports too
				want       string // %s is the peer
				as4, as6   string
			}{
				{"out", nat, "192.0.2.9:80", "[2001:db8::9]:80", "lan sees %s", "192.0.2.1", "2001:db8::1"},
				{"out of another", closed, "192.0.2.9:80", "[2001:db8::9]:80", "lan sees %s", "192.0.2.1", "2001:db8::1"},
				{"out with an address of its own", as, "192.0.2.9:80", "[2001:db8::9]:80", "lan sees %s", "192.0.2.77", "2001:db8::1"},
				{"out as itself", routed, "192.0.2.9:80", "[2001:db8::9]:80", "lan sees %s", "10.80.4.2", "fd80:4::2"},
				{"published", lan.Path, "192.0.2.1:8081", "[2001:db8::1]:8081", "nat1 sees %s", "192.0.2.9", "2001:db8::9"},
				{"published on closed", lan.Path, "192.0.2.1:8082", "[2001:db8::1]:8082", "closed1 sees %s", "192.0.2.9", "2001:db8::9"},
				{"not of internal", lan.Path, "192.0.2.1:8083", "[2001:db8::1]:8083", "refused", "", ""},
				{"not of routed", lan.Path, "192.0.2.1:8084", "[2001:db8::1]:8084", "refused", "", ""},
				{"from the host", hostNetNS, "192.0.2.1:8081", "[2001:db8::1]:8081", "nat1 sees %s", "192.0.2.1", "2001:db8::1"},
				{"hairpin", nat, "192.0.2.1:8081", "[2001:db8::1]:8081", "nat1 sees %s", "10.80.1.1", "fd80:1::1"},
				{"of another network", nat, "192.0.2.1:8082", "[2001:db8::1]:8082", "closed1 sees %s", "10.80.2.1", "fd80:2::1"},
				{"of a neighbour without icc", closed2, "192.0.2.1:8082", "[2001:db8::1]:8082", "closed1 sees %s", "10.80.2.1", "fd80:2::1"},

				{"neighbours without icc", closed2, "10.80.2.2:80", "[fd80:2::2]:80", "dropped", "", ""},
				{"and the other way", closed, "10.80.2.3:80", "[fd80:2::3]:80", "dropped", "", ""},
				{"neighbours inside", inside2, "10.80.3.2:80", "[fd80:3::2]:80", "inside1 sees %s", "10.80.3.3", "fd80:3::3"},
				{"another network", nat, "10.80.2.2:80", "[fd80:2::2]:80", "dropped", "", ""},
				{"and back", closed, "10.80.1.2:80", "[fd80:1::2]:80", "dropped", "", ""},
				{"an internal one", nat, "10.80.3.2:80", "[fd80:3::2]:80", "dropped", "", ""},
				{"the host to internal", hostNetNS, "10.80.3.2:80", "[fd80:3::2]:80", "inside1 sees %s", "10.80.3.1", "fd80:3::1"},

				{"directly", lan.Path, "10.80.1.2:80", "[fd80:1::2]:80", "dropped", "", ""},
				{"directly, internal", lan.Path, "10.80.3.2:80", "[fd80:3::2]:80", "dropped", "", ""},
				{"routed, published", lan.Path, "10.80.4.2:80", "[fd80:4::2]:80", "routed1 sees %s", "192.0.2.9", "2001:db8::9"},
				{"routed, not published", lan.Path, "10.80.4.2:81", "[fd80:4::2]:81", "dropped", "", ""},
				{"routed, the other container", lan.Path, "10.80.4.3:80", "[fd80:4::3]:80", "dropped", "", ""},
				{"routed, from another network", nat, "10.80.4.2:80", "[fd80:4::2]:80", "routed1 sees %s", "10.80.1.2", "fd80:1::2"},
				{"unprotected", lan.Path, "10.80.5.2:81", "[fd80:5::2]:81", "bare1 sees %s", "192.0.2.9", "2001:db8::9"},
				{"unprotected, from another network", nat, "10.80.5.2:80", "[fd80:5::2]:80", "dropped", "", ""},
				{"unprotected to another network", bare, "10.80.1.2:80", "[fd80:1::2]:80", "dropped", "", ""},
				{"trusted, published", lan.Path, "10.80.6.2:80", "", "trusting1 sees %s", "192.0.2.9", ""},
				{"trusted, not published", lan.Path, "10.80.6.2:81", "[fd80:6::2]:81", "dropped", "", ""},
			} {
				for _, to := range []struct{ addr, as string }{{tt.to4, tt.as4}, {tt.to6, tt.as6}} {
					if to.addr == "" {
						continue
					}
					t.Run(tt.name+" "+to.addr, func(t *testing.T) {
						t.Parallel()
						want := strings.Replace(tt.want, "%s", to.as, 1)
						expect(t, tt.from, "tcp", to.addr, want)
						if want == "refused" || want == "dropped" || strings.HasSuffix(to.addr, ":81") {
							return
						}
						expect(t, tt.from, "udp", to.addr, want)
					})
				}
			}
			for _, to := range []string{"192.0.2.9:80", "[2001:db8::9]:80"} {
				if got := askFor(t, silence, inside, "tcp", to); !strings.Contains(got, "unreachable") && got != "dropped" {
					t.Errorf("from inside to %s: %q", to, got)
				}
			}
		})
	}
}

// TestDirectRouting: with the daemon's permission, published ports alone are
// open at the containers' own addresses.
func TestDirectRouting(t *testing.T) {
	lan := computer(t, "lan", "192.0.2", "2001:db8")
	m := open(t, func(c *Config) { c.AllowDirectRouting = true })
	bridged(t, m, "a", 1, "127.0.0.1:8081", false)
	other, _ := bridged(t, m, "b", 2, "8082", false)
	for _, tt := range []struct{ name, from, to, want string }{
		{"published", lan.Path, "10.80.1.2:80", "a1 sees 192.0.2.9"},
		{"not published", lan.Path, "10.80.1.2:81", "dropped"},
		{"IPv6", lan.Path, "[fd80:2::2]:80", "b1 sees 2001:db8::9"},
		{"another network", other, "10.80.1.2:80", "dropped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, tt.from, "tcp", tt.to, tt.want)
		})
	}
}

// TestStrangers: a host that forwards for our sake does not for others.
func TestStrangers(t *testing.T) {
	for _, before := range []string{"0", "1"} {
		t.Run("ip_forward="+before, func(t *testing.T) {
			for _, s := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
				if err := os.WriteFile("/proc/sys/net/"+s, []byte(before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			near := nettest.NewHost(t, "near", "192.0.2.1/24", "192.0.2.9/24")
			far := nettest.NewHost(t, "far", "198.51.100.1/24", "198.51.100.9/24")
			card(t, near, "192.0.2.1/24")
			card(t, far, "198.51.100.1/24")
			listen(t, far.Path, "tcp/:80", "far")
			m := open(t)
			container, _ := bridged(t, m, "a", 1, "8081", false)
			want := map[string]string{"0": "dropped", "1": "far sees 192.0.2.9"}[before]
			expect(t, near.Path, "tcp", "198.51.100.9:80", want) // from one stranger to another
			expect(t, near.Path, "tcp", "192.0.2.1:8081", "a1 sees 192.0.2.9")
			expect(t, container, "tcp", "198.51.100.9:80", "far sees 198.51.100.1")
		})
	}
}
