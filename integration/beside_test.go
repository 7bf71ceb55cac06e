package integration

import (
	"net"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestBesideDockerd: two engines on one host. dockerd has iptables drop what is
// forwarded for others, when it is first; when we are first, we do. Both engines'
// containers are reached and reach out, whichever of the two starts last.
func TestBesideDockerd(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"dockerd first", "berthd first"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			host := harness.NewOtherHost(t)
			host.Run("sysctl", "-w", "net.ipv4.ip_forward=0") // a new namespace has ours
			var dockerd *harness.Dockerd
			if order == "dockerd first" {
				dockerd = harness.StartDockerd(t, host)
			}
			d := start(t, harness.Options{Host: host})
			if dockerd == nil {
				dockerd = harness.StartDockerd(t, host)
			}
			if policy := host.Run("iptables", "-S", "FORWARD"); order == "dockerd first" && !strings.Contains(policy, "-P FORWARD DROP") {
				t.Fatalf("dockerd does not drop, so nothing is shown here:\n%s", policy)
			}
			serving(t, d, "ours", "-p", "7001:7/tcp", "-p", "7001:7/udp")
			dockerd.Docker("load", "-q", "-i", sample)
			dockerd.Docker(append([]string{"run", "-d", "--name", "theirs", "-p", "7002:7/tcp", "-p", "7002:7/udp"}, probeArgs(t, "serve", "0.0.0.0:7")...)...)
			await(t, "their server", func() bool { return dockerd.Docker("logs", "theirs") == "ready" })
			tcp, udp, err := serve(net.JoinHostPort(host.Here, "0"))
			if err != nil {
				t.Fatal(err)
			}
			defer tcp.Close()
			defer udp.Close()
			b := beside{t, host, d, dockerd, tcp.Addr().String()}
			b.check("both are up")
			d.Kill()
			b.inbound("berthd is dead")
			d.Run()
			b.check("berthd was restarted")
			dockerd.Stop()
			b.inbound("dockerd is down")
			dockerd.Start()
			b.check("dockerd was restarted")
			host.Run("iptables", "-P", "FORWARD", "DROP")
			b.check("the policy is to drop")
		})
	}
}

type beside struct {
	t       *testing.T
	host    *harness.OtherHost
	d       *harness.Daemon
	dockerd *harness.Dockerd
	outside string // a server on another host
}

// check asks in all directions.
func (b beside) check(when string) {
	b.t.Helper()
	b.inbound(when)
	for _, network := range []string{"tcp", "udp"} {
		if got := asking(b.t, b.d, network, b.outside); got != b.host.Address {
			b.t.Errorf("%s: from our container, %s: %q", when, network, got)
		}
		if got := b.dockerd.Docker(append([]string{"run", "--rm"}, probeArgs(b.t, "ask", network, b.outside)...)...); got != b.host.Address {
			b.t.Errorf("%s: from their container, %s: %q", when, network, got)
		}
	}
}

// inbound asks from another host and from the engines' own.
func (b beside) inbound(when string) {
	b.t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		for _, port := range []string{"7001", "7002"} {
			got, err := ask(network, net.JoinHostPort(b.host.Address, port), harness.Patience)
			if err != nil || got != b.host.Here {
				b.t.Errorf("%s: %s port %s: the server sees %q (%v)", when, network, port, got, err)
			}
			if port == "7002" && when == "dockerd is down" {
				continue // what forwards localhost is down with it
			}
			b.host.Do(func() {
				if _, err := ask(network, net.JoinHostPort("127.0.0.1", port), harness.Patience); err != nil {
					b.t.Errorf("%s: %s port %s from localhost: %v", when, network, port, err)
				}
			})
		}
	}
}
