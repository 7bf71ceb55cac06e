package integration

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// hostPort is where a container's port is published, without the address.
func hostPort(t *testing.T, d *harness.Daemon, name, port string) string {
	t.Helper()
	first, _, _ := strings.Cut(d.Berth("port", name, port).OK(t), "\n")
	_, p, err := net.SplitHostPort(first)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// seesFrom asks from the other host whom a server sees.
func seesFrom(t *testing.T, o *harness.OtherHost, network, address, want string) {
	t.Helper()
	o.Do(func() { sees(t, network, address, want) })
}

// TestPublishedPorts reaches a container from everywhere that it may be reached
// from, and tries where it may not.
func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	other := harness.NewOtherHost(t)
	serving(t, d, "open", "-p", "7/tcp", "-p", "7/udp")
	serving(t, d, "local", "-p", "127.0.0.1::7/tcp", "-p", "127.0.0.1::7/udp")
	serving(t, d, "closed")
	other.Route(d.Subnet + ".0/24")
	for _, network := range []string{"tcp", "udp"} {
		port := hostPort(t, d, "open", "7/"+network)
		local := hostPort(t, d, "local", "7/"+network)
		// The server sees who asks, not a proxy.
		seesFrom(t, other, network, net.JoinHostPort(other.Here, port), other.Address)
		for _, own := range append(ownAddresses(t), "127.0.0.1", other.Here, d.Subnet+".1") {
			sees(t, network, net.JoinHostPort(own, port), "")
		}
		sees(t, network, net.JoinHostPort("127.0.0.1", local), "")
		for _, closed := range []string{
			net.JoinHostPort(other.Here, local),
			net.JoinHostPort(address(t, d, "closed"), "7"), // routed, and not published
		} {
			other.Do(func() {
				// A second is enough for what was answered at once above.
				if who, err := ask(network, closed, time.Second); err == nil {
					t.Errorf("%s %s answers another host: %s", network, closed, who)
				}
			})
		}
		// A container reaches its neighbour, published ports by the host's
		// address, and itself the same way.
		target := net.JoinHostPort(other.Here, port)
		asking(t, d, network, net.JoinHostPort(address(t, d, "closed"), "7"))
		asking(t, d, network, target)
		d.Berth("exec", "open", "/probe", "ask", network, target).OK(t)
	}
}

// ownAddresses are this host's IPv4 addresses on the way out.
func ownAddresses(t *testing.T) (out []string) {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	route, _ := exec.Command("ip", "-4", "-o", "route", "get", "192.0.2.1").Output() // none without a default route
	for _, a := range addresses {
		ip := a.(*net.IPNet).IP
		if strings.Contains(string(route), " src "+ip.String()+" ") {
			out = append(out, ip.String())
		}
	}
	return out
}

func address(t *testing.T, d *harness.Daemon, name string) string {
	t.Helper()
	return d.Berth("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name).OK(t)
}

// TestOutgoing reaches a server on another host, which sees this host's address.
func TestOutgoing(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	other := harness.NewOtherHost(t)
	var (
		server string
		err    error
	)
	other.Do(func() {
		var tcp net.Listener
		var udp net.PacketConn
		if tcp, udp, err = serve(other.Address + ":0"); err == nil {
			t.Cleanup(func() { tcp.Close(); udp.Close() })
			server = tcp.Addr().String()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"tcp", "udp"} {
		for _, kind := range []string{"bridge", "host"} {
			if got := asking(t, d, network, server, "--network", kind); got != other.Here {
				t.Errorf("from network %s over %s the server sees %q, want %s", kind, network, got, other.Here)
			}
		}
	}
	r := d.Berth(append([]string{"run", "--rm", "--network", "none"}, probeArgs(t, "ask", "tcp", server)...)...)
	r.Fails(t, 1, "network is unreachable")
}

// TestFirewallComesBack deletes and empties the firewall table, as a careless
// administrator or another firewall's reload would.
func TestFirewallComesBack(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	other := harness.NewOtherHost(t)
	serving(t, d, "web", "-p", "7")
	target := net.JoinHostPort(other.Here, hostPort(t, d, "web", "7"))
	seesFrom(t, other, "tcp", target, other.Address)
	table := "berth-" + d.Bridge
	for _, verb := range []string{"delete", "flush"} {
		if out, err := exec.Command("nft", verb, "table", "inet", table).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v: %s", verb, err, out)
		}
		await(t, "the port answers after "+verb, func() bool {
			var err error
			other.Do(func() { _, err = ask("tcp", target, time.Second) })
			return err == nil
		})
		d.Berth("run", "--rm", "-p", "7", image, "true").OK(t)
		seesFrom(t, other, "tcp", target, other.Address)
	}
}

// TestNeighbours publishes ports from two daemons at once.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	a, b := start(t, harness.Options{}), start(t, harness.Options{})
	other := harness.NewOtherHost(t)
	// Ports that no engine chooses by itself: one whose daemon is dead is not
	// held against others who look for a free one.
	port := 20000 + os.Getpid()%5000*2
	ofA, ofB := strconv.Itoa(port), strconv.Itoa(port+1)
	reached := func(port string) {
		t.Helper()
		seesFrom(t, other, "tcp", net.JoinHostPort(other.Here, port), other.Address)
	}
	serving(t, a, "web", "-p", ofA+":7")
	serving(t, b, "web", "-p", ofB+":7")
	reached(ofA)
	reached(ofB)
	b.Berth("run", "--rm", "-p", ofA+":7", image, "true").Fails(t, 125, "address already in use")
	a.Kill()
	reached(ofA)
	reached(ofB)
	b.Berth("rm", "-f", "web").OK(t)
	b.Terminate()
	a.Run()
	reached(ofA)
	b.Run()
	serving(t, b, "web", "-p", ofB+":7")
	reached(ofB)
	reached(ofA)
}

// TestPortsOfIPv6 reaches a container without IPv6 by it, also while the daemon is
// dead; nobody else gets its ports, until it is gone.
func TestPortsOfIPv6(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	serving(t, d, "web", "-p", "7/tcp", "-p", "7/udp", "-p", "[::1]::7/tcp")
	for _, line := range strings.Split(d.Berth("port", "web").OK(t), "\n") {
		_, address, _ := strings.Cut(line, " -> ")
		if !strings.HasPrefix(address, "0.0.0.0:") && !strings.HasPrefix(address, "[::]:") && !strings.HasPrefix(address, "[::1]:") {
			t.Errorf("published at %s", line)
		}
	}
	tcp, udp := hostPort(t, d, "web", "7/tcp"), hostPort(t, d, "web", "7/udp")
	check := func(when string) {
		t.Helper()
		for _, to := range [][2]string{{"tcp", "[::1]:" + tcp}, {"udp", "[::1]:" + udp}, {"tcp", "127.0.0.1:" + tcp}, {"udp", "127.0.0.1:" + udp}} {
			if got, err := ask(to[0], to[1], harness.Patience); err != nil || got != d.Subnet+".1" {
				t.Errorf("%s: %s %s: the server sees %q (%v)", when, to[0], to[1], got, err)
			}
		}
		for _, address := range []string{"[::]:" + tcp, "0.0.0.0:" + tcp, "127.0.0.1:" + tcp} {
			if l, err := net.Listen("tcp", address); err == nil {
				_ = l.Close()
				t.Errorf("%s: a program takes %s", when, address)
			}
		}
	}
	check("at first")
	d.Kill()
	check("the daemon is dead")
	d.Run()
	check("the daemon is back")
	d.Berth("run", "-d", "-p", tcp+":7", image, "sleep", "600").Fails(t, 125, "port is already allocated (port "+tcp+" is held by container web)")
	d.Berth("restart", "-t", "0", "web").OK(t)
	d.Berth("rm", "-f", "web").OK(t)
	for _, address := range []string{"[::]:" + tcp, "0.0.0.0:" + tcp} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("after the container: %v", err)
		}
		_ = l.Close()
	}
}

// TestManyPorts: a thousand ports on one container, and eight thousand, at all
// addresses of both IP versions: each leads there, and none is anybody else's.
func TestManyPorts(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1000, 8000} {
		t.Run(strconv.Itoa(count), func(t *testing.T) {
			t.Parallel()
			host := harness.NewOtherHost(t) // all its ports are ours
			d := start(t, harness.Options{Host: host})
			first, last := "10000", strconv.Itoa(10000+count-1)
			all := first + "-" + last
			d.Berth(append([]string{"run", "-d", "--name", "many", "-p", all + ":" + all}, probeArgs(t, "serve", "0.0.0.0:"+first)...)...).OK(t)
			d.Berth("exec", "-d", "many", "/probe", "serve", "0.0.0.0:"+last).OK(t)
			check := func(when string) {
				t.Helper()
				for _, port := range []string{first, last} {
					await(t, when+": port "+port+" answers", func() bool {
						got, err := ask("tcp", net.JoinHostPort(host.Address, port), time.Second)
						return err == nil && got == host.Here
					})
					for _, local := range []string{"127.0.0.1", "::1"} {
						host.Do(func() {
							if got, err := ask("tcp", net.JoinHostPort(local, port), harness.Patience); err != nil || got != d.Subnet+".1" {
								t.Errorf("%s: %s at port %s: the server sees %q (%v)", when, local, port, got, err)
							}
						})
					}
				}
			}
			var ports []string
			for port := 10000; port < 10000+count; port++ {
				ports = append(ports, net.JoinHostPort("0.0.0.0", strconv.Itoa(port)), net.JoinHostPort("::", strconv.Itoa(port)))
			}
			taken := func(ports []string) (held []string) {
				for _, port := range ports {
					if l, err := net.Listen("tcp", port); err != nil {
						held = append(held, port)
					} else {
						_ = l.Close()
					}
				}
				return held
			}
			check("at first")
			if lines := strings.Count(d.Berth("port", "many").OK(t), "\n") + 1; lines != 2*count {
				t.Errorf("%d lines of port", lines)
			}
			d.Kill()
			check("without the daemon")
			host.Do(func() {
				if n := len(taken(ports)); n != 2*count {
					t.Errorf("%d of %d ports are held", n, 2*count)
				}
			})
			d.Run()
			check("with the next one")
			d.Berth("run", "-d", "-p", last+":1", image, "true").Fails(t, 125, "port is already allocated (port "+last+" is held by container many)")
			d.Berth("rm", "-f", "many").OK(t)
			host.Do(func() {
				// A child that another test forks has what is closed here until it executes.
				held := ports
				await(t, "no port is held after the container", func() bool { held = taken(held); return len(held) == 0 })
			})
		})
	}
}
