package net

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	stdnet "net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

// silence is how long is waited for what is not to come, patience bounds a hang:
// nothing here takes a millisecond when it works, but on a busy machine.
const (
	silence  = 300 * time.Millisecond
	patience = 20 * time.Second
)

const hostNetNS = "/proc/self/ns/net" // of the test, which is the containers' host

// start sets up a container on the default bridge and serves its ports: each
// answers with the container's name and the peer's address.
func start(t testing.TB, m *Manager, id string, ports network.PortMap, serve ...string) (key string, ip netip.Addr, bound network.PortMap) {
	t.Helper()
	key, made, bound, err := m.Setup(t.Context(), id, id, map[string]*network.EndpointSettings{"bridge": nil}, ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running[m.cfg.ExecRoot].Teardown(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
	for _, s := range serve {
		listen(t, key, s, id)
	}
	return key, made["bridge"].IPAddress, bound
}

func listen(t testing.TB, ns, where, name string) {
	t.Helper()
	proto, addr, _ := strings.Cut(where, "/")
	nettest.In(t, ns, func() error {
		if proto == "udp" {
			c, err := stdnet.ListenPacket("udp", addr)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = c.Close() })
			go func() {
				b := make([]byte, 64)
				for {
					_, peer, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = fmt.Fprint(writerTo{c, peer}, answer(name, peer))
				}
			}()
			return nil
		}
		l, err := stdnet.Listen("tcp", addr)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = fmt.Fprint(c, answer(name, c.RemoteAddr()))
				_ = c.Close()
			}
		}()
		return nil
	})
}

type writerTo struct {
	stdnet.PacketConn
	to stdnet.Addr
}

func (w writerTo) Write(b []byte) (int, error) { return w.WriteTo(b, w.to) }

func answer(name string, peer stdnet.Addr) string {
	host, _, _ := stdnet.SplitHostPort(peer.String())
	return name + " sees " + host
}

// expect asks from ns and wants that answer.
func expect(t testing.TB, ns, proto, addr, want string) {
	t.Helper()
	limit := patience
	if want == "dropped" {
		limit = silence
	}
	if got := askFor(t, limit, ns, proto, addr); got != want {
		t.Errorf("%s %s: got %q, want %q", proto, addr, got, want)
	}
}

// ask connects from ns and returns the answer, or "refused", or "dropped" after a
// long time.
func ask(t testing.TB, ns, proto, addr string) string {
	t.Helper()
	return askFor(t, patience, ns, proto, addr)
}

func askFor(t testing.TB, limit time.Duration, ns, proto, addr string) (out string) {
	t.Helper()
	nettest.In(t, ns, func() error {
		c, err := stdnet.DialTimeout(proto, addr, limit)
		if err == nil {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(limit))
			if proto == "udp" {
				_, _ = c.Write([]byte("?"))
			}
			var b []byte
			if proto == "udp" {
				b = make([]byte, 64)
				var n int
				n, err = c.Read(b)
				b = b[:n]
			} else {
				b, err = io.ReadAll(c)
			}
			out = string(b)
		}
		var timeout stdnet.Error
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			out = "refused"
		case errors.As(err, &timeout) && timeout.Timeout():
			out = "dropped"
		case err != nil:
			out = err.Error()
		}
		return nil
	})
	return out
}

func portMap(t testing.TB, specs ...string) network.PortMap {
	t.Helper()
	m := network.PortMap{}
	for _, s := range specs { // host:port:container/proto
		hostPart, container, _ := cutLast(s, ":")
		b := network.PortBinding{HostPort: hostPart}
		if ip, port, ok := cutLast(hostPart, ":"); ok {
			b.HostIP, b.HostPort = netip.MustParseAddr(strings.Trim(ip, "[]")), port
		}
		p := network.MustParsePort(container)
		m[p] = append(m[p], b)
	}
	return m
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// TestTraffic: who reaches whom, and as whom. "lan" is another computer beside
// the host, "rogue" one that has a route to the containers and sends what no
// honest one would.
func TestTraffic(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t)
	web, webIP, _ := start(t, m, "web", portMap(t, "8080:80/tcp", "127.0.0.1:8081:80/tcp", "5353:53/udp",
		"192.0.2.1:8082:80/tcp"), "tcp/:80", "udp/:53")
	other, otherIP, _ := start(t, m, "other", nil, "tcp/:80")
	listen(t, lan.Path, "tcp/192.0.2.9:80", "lan")
	listen(t, hostNetNS, "tcp/127.0.0.1:7000", "host")
	gw := "172.17.0.1"
	t.Run("reach", func(t *testing.T) { reach(t, lan.Path, web, other, webIP, otherIP, gw) })
	t.Run("route_localnet", func(t *testing.T) { localnet(t, lan.Path, web) })
}

func reach(t *testing.T, lan, web, other string, webIP, otherIP netip.Addr, gw string) {
	for _, tt := range []struct{ name, from, proto, to, want string }{
		{"out, masqueraded", web, "tcp", "192.0.2.9:80", "lan sees 192.0.2.1"},
		{"another container", other, "tcp", webIP.String() + ":80", "web sees " + otherIP.String()},
		{"the host to a container", hostNetNS, "tcp", webIP.String() + ":80", "web sees " + gw},
		{"a published port, source kept", lan, "tcp", "192.0.2.1:8080", "web sees 192.0.2.9"},
		{"its gateway address from outside", lan, "tcp", gw + ":8080", "web sees 192.0.2.9"},
		{"UDP", lan, "udp", "192.0.2.1:5353", "web sees 192.0.2.9"},
		{"one address", lan, "tcp", "192.0.2.1:8082", "web sees 192.0.2.9"},
		{"one address only", lan, "tcp", gw + ":8082", "refused"},
		{"a port of localhost from outside", lan, "tcp", "192.0.2.1:8081", "refused"},
		{"an unpublished port", lan, "tcp", "192.0.2.1:80", "refused"},
		{"a container directly", lan, "tcp", webIP.String() + ":80", "dropped"},
		{"an unpublished container directly", lan, "tcp", otherIP.String() + ":80", "dropped"},
		{"localhost", hostNetNS, "tcp", "127.0.0.1:8080", "web sees " + gw},
		{"localhost's port", hostNetNS, "tcp", "127.0.0.1:8081", "web sees " + gw},
		{"localhost, UDP", hostNetNS, "udp", "127.0.0.1:5353", "web sees " + gw},
		{"the host's own address", hostNetNS, "tcp", "192.0.2.1:8080", "web sees 192.0.2.1"},
		{"hairpin to itself", web, "tcp", "192.0.2.1:8080", "web sees " + gw},
		{"hairpin by the gateway", web, "tcp", gw + ":8080", "web sees " + gw},
		{"hairpin to another", other, "tcp", "192.0.2.1:8080", "web sees " + gw},
		{"hairpin, UDP", other, "udp", "192.0.2.1:5353", "web sees " + gw},
		{"a container's own localhost", web, "tcp", "127.0.0.1:7000", "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // most of the time is waiting for what does not come
			expect(t, tt.from, tt.proto, tt.to, tt.want)
		})
	}
}

// localnet: neither another computer nor a container may talk to the host's
// 127.0.0.1 by sending it packets for that address (CVE-2020-8558), whether the
// port is a program's or published there.
func localnet(t *testing.T, lan, container string) {
	for name, tt := range map[string]struct{ ns, gw, src string }{
		"another host": {lan, "192.0.2.1", "192.0.2.9"}, "a container": {container, "172.17.0.1", "172.17.0.2"},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.In(t, tt.ns, func() error {
				// 127.0.0.0/8 leaves by the cable, against the table of local addresses.
				rule := netlink.NewRule()
				rule.Table, rule.Priority = 100, 0
				lo, err := netlink.LinkByName("eth0")
				if err != nil {
					return err
				}
				_, dst, _ := stdnet.ParseCIDR("127.0.0.0/8")
				err = netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: stdnet.ParseIP(tt.gw), Table: 100,
					Src: stdnet.ParseIP(tt.src), LinkIndex: lo.Attrs().Index})
				if err != nil {
					return err
				}
				if err := netlink.RuleAdd(rule); err != nil {
					return err
				}
				local := netlink.NewRule()
				local.Table, local.Priority = 255, 0
				if err := netlink.RuleDel(local); err != nil {
					return err
				}
				local.Priority = 1
				return netlink.RuleAdd(local)
			})
			for _, addr := range []string{"127.0.0.1:7000", "127.0.0.1:8081", "127.0.0.1:8080"} {
				t.Run(addr, func(t *testing.T) {
					t.Parallel()
					expect(t, tt.ns, "tcp", addr, "dropped")
				})
			}
		})
	}
}

// A client that goes on sending from one port must reach the container that
// has the port now, not what had it before.
func TestUDPFlowsAreForgotten(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t)
	var client stdnet.Conn
	nettest.In(t, lan.Path, func() (err error) {
		client, err = stdnet.DialUDP("udp", &stdnet.UDPAddr{Port: 4000}, &stdnet.UDPAddr{IP: stdnet.IPv4(192, 0, 2, 1), Port: 5353})
		return err
	})
	defer client.Close()
	send := func() string {
		_, _ = client.Write([]byte("?")) // a refusal of the one before is no matter
		_, _ = client.Write([]byte("?"))
		_ = client.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 64)
		n, err := client.Read(b)
		if err != nil {
			return "nothing"
		}
		return string(b[:n])
	}
	if got := send(); got != "nothing" {
		t.Fatalf("before: %q", got)
	}
	start(t, m, "first", portMap(t, "5353:53/udp"), "udp/:53")
	if got := send(); got != "first sees 192.0.2.9" {
		t.Errorf("with the first container: %q", got)
	}
	if err := m.Teardown(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	start(t, m, "filler", nil) // takes the address that was free
	start(t, m, "second", portMap(t, "5353:53/udp"), "udp/:53")
	_ = send() // what the first had in its queue
	if got := send(); got != "second sees 192.0.2.9" {
		t.Errorf("with the second container: %q", got)
	}
}

// The same with as many ports as are not chosen in the kernel any more.
func TestManyUDPFlowsAreForgotten(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t)
	var client stdnet.Conn
	nettest.In(t, lan.Path, func() (err error) {
		client, err = stdnet.DialUDP("udp", &stdnet.UDPAddr{Port: 4000}, &stdnet.UDPAddr{IP: stdnet.IPv4(192, 0, 2, 1), Port: 5353})
		return err
	})
	defer client.Close()
	b := make([]byte, 64)
	_ = client.SetReadDeadline(time.Now().Add(patience))
	_, _ = client.Write([]byte("?"))
	if n, err := client.Read(b); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("before: %q, %v", b[:n], err)
	}
	ports := portMap(t, "5353:53/udp")
	for p := range 100 {
		maps.Copy(ports, portMap(t, fmt.Sprintf("%d:%d/udp", 6000+p, 6000+p)))
	}
	start(t, m, "c", ports, "udp/:53")
	_ = client.SetReadDeadline(time.Now().Add(patience))
	if _, err := client.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(b); string(b[:n]) != "c sees 192.0.2.9" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}
