package integration

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/miekg/dns"
)

// resolves gives the addresses that a container has for a name, in order, or
// "no" when there are none.
func resolves(d *harness.Daemon, container, name string) string {
	return addresses(d.Berth("exec", container, "nslookup", "-type=a", name).Stdout)
}

// addresses are those that nslookup prints, below the server's own.
func addresses(out string) string {
	_, answer, _ := strings.Cut(out, "\n\n")
	var found []string
	for l := range strings.Lines(answer) {
		if a, ok := strings.CutPrefix(l, "Address: "); ok {
			found = append(found, strings.TrimSpace(a))
		}
	}
	if len(found) == 0 {
		return "no"
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// at is a container's address on a network.
func at(t *testing.T, d *harness.Daemon, network, name string) string {
	t.Helper()
	return d.Berth("inspect", "-f", "{{(index .NetworkSettings.Networks \""+network+"\").IPAddress}}", name).OK(t)
}

// sleeper runs a container that does nothing.
func sleeper(t *testing.T, d *harness.Daemon, name string, flags ...string) {
	t.Helper()
	d.Berth(append(append([]string{"run", "-d", "--name", name}, flags...), image, "sleep", "1000")...).OK(t)
}

// TestNames asks for containers by all that they are called.
func TestNames(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, n := range []string{"front", "back"} {
		d.Berth("network", "create", n).OK(t)
		t.Cleanup(func() { d.Berth("rm", "-f", "web", "db", "far", "linked", "plain"); d.Berth("network", "rm", n).OK(t) })
	}
	sleeper(t, d, "web", "--network", "front", "--network-alias", "service", "--hostname", "machine")
	sleeper(t, d, "db", "--network", "front", "--network-alias", "service")
	sleeper(t, d, "far", "--network", "back")
	sleeper(t, d, "linked", "--network", "front", "--link", "db:mysql")
	sleeper(t, d, "plain")
	web, db := at(t, d, "front", "web"), at(t, d, "front", "db")
	both := []string{web, db}
	slices.Sort(both)
	id := d.Berth("inspect", "-f", "{{.Id}}", "web").OK(t)[:12]
	for _, tt := range []struct{ from, name, want string }{
		{"db", "web", web},
		{"db", "WEB.front", web},
		{"db", "machine", web},
		{"db", id, web},
		{"web", "service", strings.Join(both, " ")},
		{"web", "web", web},
		{"linked", "mysql", db},
		{"web", "mysql", "no"},
		{"web", "far", "no"},
		{"web", "far.back", "no"},
		{"plain", "web", "no"},
	} {
		if got := resolves(d, tt.from, tt.name); got != tt.want {
			t.Errorf("%s asks for %s: %s, want %s", tt.from, tt.name, got, tt.want)
		}
	}
	if out := d.Berth("exec", "web", "nslookup", db).Stdout; !strings.Contains(out, "name = db.front") {
		t.Errorf("the name of %s: %s", db, out)
	}
	if out := d.Berth("exec", "web", "cat", "/etc/resolv.conf").OK(t); !strings.Contains(out, "\nnameserver 127.0.0.11\n") || !strings.Contains(out, "(internal resolver)") {
		t.Errorf("resolv.conf:\n%s", out)
	}
	pid := d.Berth("inspect", "-f", "{{.State.Pid}}", "web").OK(t)
	d.Kill()
	out, err := exec.Command("nsenter", "-t", pid, "-n", "/bin/busybox", "nslookup", "-type=a", "service", "127.0.0.11").Output()
	if got := addresses(string(out)); got != strings.Join(both, " ") {
		t.Errorf("with berthd dead: %s (%v)", got, err)
	}
	d.Run()
	sleeper(t, d, "late", "--network", "front")
	if got := resolves(d, "web", "late"); got != at(t, d, "front", "late") {
		t.Errorf("a container of the next berthd: %s", got)
	}
	d.Berth("rm", "-f", "late").OK(t)
	if got := resolves(d, "web", "late"); got != "no" {
		t.Errorf("a container that is gone: %s", got)
	}
}

// TestNamesFollow connects, renames and disconnects: the next question has the
// new answer, also in a container that had no names when it was started.
func TestNamesFollow(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "app").OK(t)
	t.Cleanup(func() { d.Berth("rm", "-f", "web", "plain"); d.Berth("network", "rm", "app").OK(t) })
	sleeper(t, d, "web", "--network", "app")
	sleeper(t, d, "plain")
	d.Berth("network", "connect", "--alias", "joined", "app", "plain").OK(t)
	for _, name := range []string{"plain", "joined"} {
		if got := resolves(d, "web", name); got != at(t, d, "app", "plain") {
			t.Errorf("connected, %s is %s", name, got)
		}
	}
	web := at(t, d, "app", "web")
	if got := resolves(d, "plain", "web"); got != web {
		t.Errorf("the container that was connected asks for web: %s", got)
	}
	d.Berth("rename", "web", "site").OK(t)
	if old, renamed := resolves(d, "plain", "web"), resolves(d, "plain", "site"); old != "no" || renamed != web {
		t.Errorf("renamed: %s, before %s", renamed, old)
	}
	d.Berth("rename", "site", "web").OK(t)
	d.Berth("network", "disconnect", "app", "plain").OK(t)
	if got := resolves(d, "web", "plain"); got != "no" {
		t.Errorf("disconnected: %s", got)
	}
}

// TestNamesElsewhere asks a server on another host, and one in the container
// itself at the port that the resolver's address has.
func TestNamesElsewhere(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "app").OK(t)
	d.Berth("network", "create", "--internal", "inside").OK(t)
	t.Cleanup(func() { d.Berth("rm", "-f", "own", "shut"); d.Berth("network", "rm", "app", "inside").OK(t) })
	other := harness.NewOtherHost(t)
	nameServer(t, other)
	d.Berth(append([]string{"run", "-d", "--name", "own", "--network", "app", "--dns", "192.0.2.254", "--dns", other.Address}, probeArgs(t, "serve", "0.0.0.0:53")...)...).OK(t)
	await(t, "the container's own server serves", func() bool { return d.Berth("logs", "own").OK(t) == "ready" })
	if got := d.Berth("exec", "own", "/probe", "ask", "udp", "127.0.0.1:53").OK(t); got != "127.0.0.1" {
		t.Errorf("the container's own server sees %s", got)
	}
	if got := resolves(d, "own", "own"); got != at(t, d, "app", "own") {
		t.Errorf("beside it the resolver says %s", got)
	}
	// The first of its servers is silent.
	if got := resolves(d, "own", "www.example.org"); got != "198.51.100.7" {
		t.Errorf("a name of elsewhere: %s", got)
	}
	sleeper(t, d, "shut", "--network", "inside", "--dns", other.Address)
	if got := resolves(d, "shut", "www.example.org"); got != "no" {
		t.Errorf("from an internal network: %s", got)
	}
	if got := resolves(d, "shut", "shut"); got != at(t, d, "inside", "shut") {
		t.Errorf("its own name on an internal network: %s", got)
	}
}

// nameServer answers on the other host with one address for every name.
func nameServer(t *testing.T, o *harness.OtherHost) {
	t.Helper()
	var pc net.PacketConn
	var err error
	o.Do(func() { pc, err = net.ListenPacket("udp4", o.Address+":53") })
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg).SetReply(m)
		r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(198, 51, 100, 7)}}
		_ = w.WriteMsg(r)
	})}
	started, ended := make(chan struct{}), make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	go func() { _ = s.ActivateAndServe(); close(ended) }()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-ended })
}

// TestManyNames asks ten thousand times, as fast as it can, and gets as many
// answers.
func TestManyNames(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "app").OK(t)
	t.Cleanup(func() { d.Berth("network", "rm", "app").OK(t) })
	out := d.Berth(append([]string{"run", "--rm", "--name", "loud", "--network", "app"}, probeArgs(t, "names", "loud", "10000")...)...).OK(t)
	if out != "10000" {
		t.Errorf("%s answers to 10000 questions", out)
	}
}

// askNames asks for a name from several sockets, each as fast as it is answered.
func askNames(name, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var left, answered atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 50 {
		c, err := net.Dial("udp", "127.0.0.11:53")
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(harness.Patience))
		wg.Go(func() {
			conn := &dns.Conn{Conn: c}
			for left.Add(-1) >= 0 {
				if conn.WriteMsg(new(dns.Msg).SetQuestion(name+".", dns.TypeA)) != nil {
					return
				}
				if m, err := conn.ReadMsg(); err == nil && len(m.Answer) == 1 {
					answered.Add(1)
				}
			}
		})
	}
	wg.Wait()
	fmt.Println(answered.Load())
	return nil
}
