package integration

import (
	"encoding/json"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// on is a container's address on a network.
func on(t *testing.T, d *harness.Daemon, name, network string) string {
	t.Helper()
	return d.Berth("inspect", "-f", `{{(index .NetworkSettings.Networks "`+network+`").IPAddress}}`, name).OK(t)
}

// TestUserNetworks does what Compose does, and what users do afterwards, with
// both clients: a network of one's own, containers that know each other on it,
// another network that comes and goes, and a daemon that dies in between.
func TestUserNetworks(t *testing.T) {
	t.Parallel()
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, harness.Options{})
			run := func(args ...string) harness.Result { return d.Client(client, nil, args...) }
			base := d.Subnet[:strings.LastIndex(d.Subnet, ".")]
			run("network", "create", "--label", "project=shop", "shop_default").OK(t)
			run("network", "create", "--internal", "--subnet", base+".240.0/29", "--gateway", base+".240.6",
				"--aux-address", "kept="+base+".240.2", "shop_back").OK(t)
			run("run", "-d", "--name", "db", "--network", "shop_back", "--network-alias", "store", image, "sleep", "1000").OK(t)
			serving(t, d, "web", "--network", "shop_default", "-p", "7")
			if got := on(t, d, "db", "shop_back"); got != base+".240.1" {
				t.Errorf("db is at %s", got)
			}
			run("network", "connect", "--ip", base+".240.3", "--alias", "front", "shop_back", "web").OK(t)
			for _, name := range []string{"db", "store", "db.shop_back"} {
				run("exec", "web", "ping", "-c", "1", name).OK(t)
			}
			run("exec", "db", "ping", "-c", "1", "front").OK(t)
			run("exec", "web", "grep", base+".240.3", "/etc/hosts").OK(t)
			if got := run("exec", "db", "ip", "route").OK(t); strings.Contains(got, "default") {
				t.Errorf("an internal network leads out: %s", got)
			}
			// The main network goes, and its port with it; the other stays.
			port := hostPort(t, d, "web", "7/tcp")
			sees(t, "tcp", net.JoinHostPort("127.0.0.1", port), "")
			run("network", "disconnect", "shop_default", "web").OK(t)
			if got := run("port", "web").OK(t); got != "" {
				t.Errorf("ports without a way out: %s", got)
			}
			d.Kill()
			d.Run()
			if got := on(t, d, "web", "shop_back"); got != base+".240.3" {
				t.Errorf("after the daemon's death web is at %s", got)
			}
			run("network", "connect", "shop_default", "web").OK(t)
			sees(t, "tcp", net.JoinHostPort("127.0.0.1", hostPort(t, d, "web", "7/tcp")), "")
			// A restart keeps what was asked for.
			run("restart", "-t", "0", "web").OK(t)
			if got := on(t, d, "web", "shop_back"); got != base+".240.3" {
				t.Errorf("after a restart web is at %s", got)
			}
			run("exec", "db", "ping", "-c", "1", "front").OK(t)
			run("network", "rm", "shop_back").Fails(t, 1, `has active endpoints (name:"db" id:"`)
			run("stop", "-t", "0", "db").OK(t)
			run("network", "disconnect", "-f", "shop_back", "db").OK(t)
			run("network", "connect", "shop_default", "db").OK(t)
			run("start", "db").OK(t)
			run("exec", "web", "ping", "-c", "1", "db").OK(t)
			run("rm", "-f", "web", "db").OK(t)
			if got := run("network", "prune", "-f", "--filter", "label=project=shop").OK(t); !strings.Contains(got, "shop_default") || strings.Contains(got, "shop_back") {
				t.Errorf("prune says %s", got)
			}
			run("network", "rm", "shop_back").OK(t)
			if got := run("network", "ls", "-q", "--filter", "type=custom").OK(t); got != "" {
				t.Errorf("left: %s", got)
			}
		})
	}
}

// TestJoinedNetworkAlone asks for further networks beside another container's: they are
// without effect, as in Docker.
func TestJoinedNetworkAlone(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "owner", image, "sleep", "1000").OK(t)
	c := &talk{t: t, h: d.HTTP(), version: "", done: map[string]bool{}}
	c.ask("ContainerCreate", "", url.Values{"name": {"joiner"}}, map[string]any{
		"Image": image, "Cmd": []string{"sleep", "1000"}, "HostConfig": map[string]any{"NetworkMode": "container:owner"},
		"NetworkingConfig": map[string]any{"EndpointsConfig": map[string]any{
			"container:owner": map[string]any{}, "bridge": map[string]any{"MacAddress": "02:42:ac:11:00:02"}, "nowhere": map[string]any{"Aliases": []string{"x"}},
		}},
	}, 201)
	c.ask("ContainerStart", "joiner", nil, nil, 204)
	if got := d.Berth("inspect", "-f", "{{json .NetworkSettings.Networks}}", "joiner").OK(t); got != "{}" {
		t.Errorf("networks of its own: %s", got)
	}
	if own, joined := d.Berth("exec", "owner", "ip", "link").OK(t), d.Berth("exec", "joiner", "ip", "link").OK(t); own != joined {
		t.Errorf("the owner has %s\nand who joins it %s", own, joined)
	}
}

// TestRunOnSeveralNetworks: the API's endpointsConfig with several, and the
// command line's --network more than once.
func TestRunOnSeveralNetworks(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, n := range []string{"a", "b"} {
		d.Berth("network", "create", n).OK(t)
	}
	d.Berth("run", "-d", "--name", "cli", "--network", "name=a,alias=x", "--network", "name=b,gw-priority=1", image, "sleep", "1000").OK(t)
	gateway := func(container, network string) string {
		return d.Berth("inspect", "-f", `{{(index .NetworkSettings.Networks "`+network+`").Gateway}}`, container).OK(t)
	}
	defaultRoute := func(container string) string {
		first, _, _ := strings.Cut(d.Berth("exec", container, "ip", "route").OK(t), "\n")
		return strings.TrimSpace(first)
	}
	if got, want := defaultRoute("cli"), "default via "+gateway("cli", "b")+" dev eth0"; got != want {
		t.Errorf("the default route is %q, want %q", got, want)
	}
	c := &talk{t: t, h: d.HTTP(), version: "", done: map[string]bool{}}
	c.ask("ContainerCreate", "", url.Values{"name": {"api"}}, map[string]any{
		"Image": image, "Cmd": []string{"sleep", "1000"}, "HostConfig": map[string]any{"NetworkMode": "b"},
		"NetworkingConfig": map[string]any{"EndpointsConfig": map[string]any{"a": map[string]any{}, "b": map[string]any{"Aliases": []string{"y"}}}},
	}, 201)
	c.ask("ContainerStart", "api", nil, nil, 204)
	for _, name := range []string{"x", "cli"} {
		d.Berth("exec", "api", "ping", "-c", "1", name).OK(t)
	}
	if got, want := defaultRoute("api"), "default via "+gateway("api", "a")+" dev eth0"; got != want {
		t.Errorf("without a priority the name decides: %q, want %q", got, want)
	}
}

// TestDualStack: both IP versions on one network: addresses, names, published ports
// and the way between two containers.
func TestDualStack(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	base := d.Subnet[:strings.LastIndex(d.Subnet, ".")]
	d.Berth("network", "create", "--ipv6", "--subnet", base+".230.0/24", "--subnet", "fd30:"+strings.ReplaceAll(base, ".", ":")+"::/64",
		"--gateway", base+".230.9", "both").OK(t)
	d.Berth("network", "create", "--ipv6", "--ipv4=false", "six").OK(t)
	d.Berth(append([]string{"run", "-d", "--name", "web", "--network", "both", "-p", "7"}, probeArgs(t, "serve", "[::]:7")...)...).OK(t)
	await(t, "web serves", func() bool { return d.Berth("logs", "web").OK(t) == "ready" })
	address6 := func(name, network string) string {
		return d.Berth("inspect", "-f", `{{(index .NetworkSettings.Networks "`+network+`").GlobalIPv6Address}}`, name).OK(t)
	}
	for _, network := range []string{"both", "six"} {
		sleeper(t, d, "peer-"+network, "--network", network)
		sleeper(t, d, "other-"+network, "--network", network)
		if out := d.Berth("exec", "other-"+network, "nslookup", "-type=aaaa", "peer-"+network).Stdout; addresses(out) != address6("peer-"+network, network) {
			t.Errorf("%s by name: %s", network, out)
		}
		d.Berth("exec", "other-"+network, "ping", "-6", "-c", "1", "peer-"+network).OK(t)
	}
	if got := on(t, d, "peer-six", "six"); got != "" && got != "invalid IP" {
		t.Errorf("without IPv4: %s", got)
	}
	if got := resolves(d, "peer-both", "web"); got != base+".230.1" {
		t.Errorf("web is %s", got)
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		sees(t, "tcp", net.JoinHostPort(address, hostPort(t, d, "web", "7/tcp")), "")
	}
	d.Berth("rm", "-f", "web", "peer-both", "other-both", "peer-six", "other-six").OK(t)
	d.Berth("network", "rm", "both", "six").OK(t)
}

// TestSharedNetwork: who is in another's network stays in it, while that one
// ends and begins anew, and while the daemon does.
func TestSharedNetwork(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "app").OK(t)
	d.Berth("run", "-d", "--name", "peer", "--network", "app", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "owner", "--network", "app", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "one", "--network", "container:owner", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "two", "--network", "container:one", image, "sleep", "1000").OK(t)
	peer := on(t, d, "peer", "app")
	works := func(when string) {
		t.Helper()
		for _, name := range []string{"one", "two"} {
			if r := d.Berth("exec", name, "ping", "-c", "1", "-W", "2", peer); r.Code != 0 {
				t.Errorf("%s: %s has no network: %s%s", when, name, r.Stdout, r.Stderr)
			}
			if got := resolves(d, name, "peer"); got != peer {
				t.Errorf("%s: %s knows peer as %s", when, name, got)
			}
		}
	}
	hosts := d.Berth("inspect", "-f", "{{.HostsPath}} {{.HostnamePath}} {{.ResolvConfPath}}", "owner").OK(t)
	if got := d.Berth("inspect", "-f", "{{.HostsPath}} {{.HostnamePath}} {{.ResolvConfPath}}", "two").OK(t); got != hosts {
		t.Errorf("files of one that joined: %s, want %s", got, hosts)
	}
	works("at first")
	d.Berth("restart", "-t", "0", "owner").OK(t)
	works("after a restart")
	d.Berth("stop", "-t", "0", "owner").OK(t)
	works("without the owner")
	d.Berth("network", "rm", "app").Fails(t, 1, "has active endpoints")
	d.Kill()
	d.Run()
	works("after the daemon's death")
	d.Berth("start", "owner").OK(t)
	works("with the owner again")
	if got, want := d.Berth("exec", "two", "cat", "/etc/hosts").OK(t), d.Berth("exec", "owner", "cat", "/etc/hosts").OK(t); got != want || !strings.Contains(got, on(t, d, "owner", "app")) {
		t.Errorf("hosts of one that joined:\n%s\nand of the owner:\n%s", got, want)
	}
	d.Berth("network", "connect", "bridge", "owner").OK(t)
	if got := d.Berth("exec", "two", "ip", "-o", "addr", "show", "eth1").OK(t); !strings.Contains(got, on(t, d, "owner", "bridge")) {
		t.Errorf("a new network of the owner: %s", got)
	}
	d.Berth("network", "connect", "bridge", "one").Fails(t, 1, "container sharing network namespace with another container or host cannot be connected to any other network")
	d.Berth("rm", "-f", "owner").OK(t)
	works("after the owner's removal")
	d.Kill()
	d.Run()
	works("after the owner's removal and the daemon's death")
	d.Berth("rm", "-f", "one", "two", "peer").OK(t)
	await(t, "the network's end", func() bool { return len(d.Leftovers()) == 0 })
}

// TestSharedNames: names come to who has joined a network, too, and stay without the
// container that was connected to it.
func TestSharedNames(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "app").OK(t)
	sleeper(t, d, "peer", "--network", "app")
	sleeper(t, d, "owner")
	sleeper(t, d, "joined", "--network", "container:owner")
	if got := resolves(d, "joined", "peer"); got != "no" {
		t.Errorf("before: %s", got)
	}
	d.Berth("network", "connect", "app", "owner").OK(t)
	d.Berth("kill", "owner").OK(t)
	d.Berth("wait", "owner").OK(t)
	if got := resolves(d, "joined", "peer"); got != on(t, d, "peer", "app") {
		t.Errorf("without the owner: %s", got)
	}
	d.Berth("rm", "-f", "joined", "owner", "peer").OK(t)
}

// TestNetworkBadInput: what cannot be is refused, in Docker's words, and leaves
// nothing.
func TestNetworkBadInput(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	base := d.Subnet[:strings.LastIndex(d.Subnet, ".")]
	d.Berth("network", "create", "--subnet", base+".250.0/24", "taken").OK(t)
	d.Berth("run", "-d", "--name", "box", "--network", "taken", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "host", "--network", "host", image, "sleep", "1000").OK(t)
	for _, c := range []struct {
		args, message string
		code          int
	}{
		{"network create taken", "network with name taken already exists", 1},
		{"network create bridge", "operation is not permitted on predefined bridge network", 1},
		{"network create a/b", "invalid network name (a/b)", 1},
		{"network create -d nope x", `plugin "nope" not found`, 1},
		{"network create -d host x", `only one instance of "host" network is allowed`, 1},
		{"network create -d overlay x", "This node is not a swarm manager", 1},
		{"network create --ingress x", "Ingress network can only be global scope network", 1},
		{"network create --scope swarm x", "cannot create a swarm scoped network when swarm is not active", 1},
		{"network create --subnet " + base + ".250.128/25 x", "invalid pool request: Pool overlaps with other one on this address space", 1},
		{"network create --subnet " + base + ".251.1/24 x", "invalid subnet " + base + ".251.1/24: it should be " + base + ".251.0/24", 1},
		{"network create --subnet " + base + ".251.0/24 --gateway " + base + ".252.1 x", "no matching subnet for gateway " + base + ".252.1", 1},
		{"network create --subnet " + base + ".251.0/24 --ip-range " + base + ".252.0/25 x", "no matching subnet for range " + base + ".252.0/25", 1},
		{"network create --subnet " + base + ".251.0/24 --gateway " + base + ".251.255 x", "failed to allocate gateway (" + base + ".251.255): Address already in use", 1},
		{"network create --config-from nope x", `configuration network "nope" not found`, 1},
		{"network create -o com.docker.network.driver.mtu=big x", "failed to parse com.docker.network.driver.mtu value: big", 1},
		{"network create -o com.docker.network.bridge.name=lo x", "interface lo exists and is no bridge", 1},
		{"network rm bridge", "bridge is a pre-defined network and cannot be removed", 1},
		{"network rm nope", "network nope not found", 1},
		{"network rm taken", `network taken has active endpoints (name:"box" id:"`, 1},
		{"network connect nope box", "network nope not found", 1},
		{"network connect taken nobody", "No such container: nobody", 1},
		{"network connect taken box", "endpoint with name box already exists in network taken", 1},
		{"network connect host box", "cannot connect container to host network - container must be created in host network mode", 1},
		{"network connect none box", "container cannot be connected to multiple networks with one of the networks in private (none) mode", 1},
		{"network connect taken host", "container sharing network namespace with another container or host cannot be connected to any other network", 1},
		{"network disconnect host host", "cannot disconnect container from host network - container was created in host network mode", 1},
		{"network disconnect bridge box", "is not connected to network bridge", 1},
		{"network connect --alias a bridge box", "network-scoped aliases are only supported for user-defined networks", 1},
		{"run --rm --network taken --ip 192.0.2.1 " + image + " true", "no configured subnet or ip-range contain the IP address 192.0.2.1", 125},
		{"run --rm --network taken --ip " + base + ".250.2 " + image + " true", "Address already in use", 125},
		{"run --rm --network taken --ip " + base + ".250.1 " + image + " true", "Address already in use", 125},
		{"run --rm --ip 192.0.2.1 " + image + " true", "user-specified IP address is supported on user-defined networks only", 125},
		{"run --rm --network nope " + image + " true", "network nope not found", 125},
	} {
		d.Berth(strings.Fields(c.args)...).Fails(t, c.code, c.message)
	}
	if got := d.Berth("network", "ls", "-q", "--filter", "type=custom").OK(t); len(strings.Fields(got)) != 1 {
		t.Errorf("networks: %s", got)
	}
	if got := on(t, d, "box", "taken"); got != base+".250.2" {
		t.Errorf("box is at %s", got)
	}
}

// TestNetworkEvents: what Docker tells of networks, with what it tells.
func TestNetworkEvents(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "app").OK(t)
	d.Berth("run", "-d", "--name", "box", "--network", "app", image, "sleep", "1000").OK(t)
	d.Berth("network", "disconnect", "app", "box").OK(t)
	d.Berth("network", "connect", "app", "box").OK(t)
	d.Berth("rm", "-f", "box").OK(t)
	d.Berth("network", "rm", "app").OK(t)
	d.Berth("network", "prune", "-f").OK(t)
	now := strconv.FormatFloat(float64(time.Now().UnixNano())/1e9, 'f', 9, 64)
	out := d.Berth("events", "--since", "1h", "--until", now, "--filter", "type=network", "--format", "json").OK(t)
	var got []string
	for line := range strings.Lines(out) {
		var e struct {
			Action string
			Actor  struct{ Attributes map[string]string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		s := e.Action + " " + e.Actor.Attributes["name"] + " " + e.Actor.Attributes["type"]
		if (e.Action == "connect" || e.Action == "disconnect") && len(e.Actor.Attributes["container"]) != 64 {
			t.Errorf("%s of nobody: %+v", s, e)
		}
		got = append(got, strings.TrimSpace(s))
	}
	want := []string{"create app bridge", "connect app bridge", "disconnect app bridge", "connect app bridge", "disconnect app bridge", "destroy app bridge", "prune"}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestNetworkSurvives: a network whose bridge somebody deleted works again with
// the next start of a container, or of the daemon.
func TestNetworkSurvives(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	id := d.Berth("network", "create", "app").OK(t)
	bridge := "br-" + id[:12]
	for _, restart := range []bool{false, true} {
		if out, err := exec.Command("ip", "link", "del", bridge).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if restart {
			d.Terminate()
			d.Run()
		}
		d.Berth("run", "-d", "--name", "peer", "--network", "app", image, "sleep", "1000").OK(t)
		d.Berth("run", "--rm", "--network", "app", image, "ping", "-c", "1", "peer").OK(t)
		d.Berth("rm", "-f", "peer").OK(t)
	}
}
