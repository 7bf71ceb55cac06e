package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/berth-engine/berth/pkg/net/records"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/miekg/dns"
)

func TestMain(m *testing.M) { nettest.Main(m) }

// patience bounds waits for what comes at once.
const patience = 10 * time.Second

// box is a container's network namespace with its resolver. The test's own
// namespace stands for the host.
type box struct {
	t       testing.TB
	ns      string
	records *records.Records
	*Resolver
}

func newBox(t testing.TB, s records.Sandbox, servers ...streams.Server) *box {
	t.Helper()
	b := &box{t: t, ns: nettest.NetNS(t)}
	var err error
	b.records, err = records.Open(filepath.Join(t.TempDir(), "names"))
	must(t, err)
	s.ID = "me"
	b.put(s)
	b.Resolver, err = Open(streams.Names{NetNS: b.ns, View: b.records.Path("me"), Servers: servers})
	must(t, err)
	t.Cleanup(b.Close)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *box) put(s records.Sandbox) {
	b.t.Helper()
	must(b.t, b.records.Put(context.Background(), s))
}

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// front is the container on a network of that name.
func front() records.Sandbox {
	return records.Sandbox{ID: "me", Endpoints: []records.Endpoint{{Network: "front", Addrs: addrs("172.18.0.2"), Names: []string{"me"}}}}
}

// dial connects from the container to its resolver.
func (b *box) dial(network string) net.Conn {
	b.t.Helper()
	var c net.Conn
	must(b.t, netns.At(b.ns, func() (err error) {
		c, err = net.DialTimeout(network, "127.0.0.11:53", patience)
		return err
	}))
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends one query and gives the answer.
func (b *box) ask(network, name string, typ uint16, change ...func(*dns.Msg)) *dns.Msg {
	b.t.Helper()
	m := new(dns.Msg).SetQuestion(name+".", typ)
	for _, f := range change {
		f(m)
	}
	out, _, err := (&dns.Client{Net: network, Timeout: patience}).ExchangeWithConn(m, &dns.Conn{Conn: b.dial(network)})
	if err != nil {
		b.t.Fatalf("%s %s: %v", name, dns.TypeToString[typ], err)
	}
	return out
}

// short is an answer in a line: its code if it has no records.
func short(m *dns.Msg) string {
	var out []string
	for _, r := range m.Answer {
		switch r := r.(type) {
		case *dns.A:
			out = append(out, r.A.String())
		case *dns.AAAA:
			out = append(out, r.AAAA.String())
		case *dns.PTR:
			out = append(out, r.Ptr)
		default:
			out = append(out, r.String())
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		out = []string{dns.RcodeToString[m.Rcode]}
	}
	return strings.Join(out, " ")
}

// upstreamServer answers in a network namespace; h may answer nothing.
func upstreamServer(t testing.TB, ns, addr string, h func(w dns.ResponseWriter, m *dns.Msg)) {
	t.Helper()
	must(t, netns.At(ns, func() error {
		pc, err := net.ListenPacket("udp", addr+":53")
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", addr+":53")
		if err != nil {
			return err
		}
		for _, s := range []*dns.Server{{PacketConn: pc, Handler: dns.HandlerFunc(h)}, {Listener: l, Handler: dns.HandlerFunc(h)}} {
			started, ended := make(chan struct{}), make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go func() { _ = s.ActivateAndServe(); close(ended) }()
			<-started
			t.Cleanup(func() { _ = s.Shutdown(); <-ended })
		}
		return nil
	}))
}

// host is the test's namespace, with what a host's name server has there.
const host = "/proc/self/ns/net"

// answers is a server that knows one address for everything.
func answers(addr string) func(dns.ResponseWriter, *dns.Msg) {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg).SetReply(m)
		r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(addr)}}
		_ = w.WriteMsg(r)
	}
}

func fails(code int) func(dns.ResponseWriter, *dns.Msg) {
	return func(w dns.ResponseWriter, m *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(m, code)) }
}

func hostServer(addr string) streams.Server {
	return streams.Server{Addr: netip.MustParseAddr(addr), Host: true}
}

func TestOwnNames(t *testing.T) {
	upstreamServer(t, host, "127.0.0.1", answers("192.0.2.1"))
	b := newBox(t, records.Sandbox{Endpoints: []records.Endpoint{
		{Network: "front", Addrs: addrs("172.18.0.2"), Names: []string{"me"}, Links: []string{"db:mysql"}},
		{Network: "back", Addrs: addrs("172.19.0.2", "fd00::2"), Names: []string{"me"}}}}, hostServer("127.0.0.1"))
	b.put(records.Sandbox{ID: "1", Endpoints: []records.Endpoint{{Network: "front", Addrs: addrs("172.18.0.3"), Names: []string{"db", "0123456789ab", "all"}}}})
	b.put(records.Sandbox{ID: "2", Endpoints: []records.Endpoint{{Network: "front", Addrs: addrs("172.18.0.4"), Names: []string{"web", "all"}}}})
	b.put(records.Sandbox{ID: "3", Endpoints: []records.Endpoint{{Network: "other", Addrs: addrs("172.20.0.4"), Names: []string{"far"}}}})
	for _, tt := range []struct {
		name string
		typ  uint16
		want string
	}{
		{"db", dns.TypeA, "172.18.0.3"},
		{"DB.Front", dns.TypeA, "192.0.2.1"}, // names of networks have case
		{"Db.front", dns.TypeA, "172.18.0.3"},
		{"0123456789ab", dns.TypeA, "172.18.0.3"},
		{"mysql", dns.TypeA, "172.18.0.3"},
		{"all", dns.TypeA, "172.18.0.3 172.18.0.4"},
		{"me", dns.TypeA, "172.18.0.2"},
		{"me.back", dns.TypeA, "172.19.0.2"},
		{"me", dns.TypeAAAA, "fd00::2"},
		{"db", dns.TypeAAAA, "NOERROR"},
		{"db", dns.TypeMX, "NOERROR"},
		{"db", dns.TypeTXT, "NOERROR"},
		{"db", dns.TypeSRV, "NOERROR"},
		{"_http._tcp.db", dns.TypeSRV, "192.0.2.1"}, // as Docker: only services of a swarm have these
		{"far", dns.TypeA, "192.0.2.1"},             // of a network that we are not on: as any name
		{"example.com", dns.TypeA, "192.0.2.1"},
		{"3.0.18.172.in-addr.arpa", dns.TypePTR, "db.front."},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", dns.TypePTR, "me.back."},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := b.ask(network, tt.name, tt.typ)
			if got := short(m); got != tt.want {
				t.Errorf("%s %s by %s: %s, want %s", tt.name, dns.TypeToString[tt.typ], network, got, tt.want)
			}
			if tt.want != "192.0.2.1" && (!m.RecursionAvailable || m.Authoritative) {
				t.Errorf("%s: flags %v", tt.name, m.MsgHdr)
			}
		}
	}
	// One connection may ask more than once.
	c := &dns.Conn{Conn: b.dial("tcp")}
	for range 3 {
		m, _, err := (&dns.Client{Net: "tcp"}).ExchangeWithConn(new(dns.Msg).SetQuestion("db.", dns.TypeA), c)
		if err != nil || short(m) != "172.18.0.3" {
			t.Errorf("%v, %v", m, err)
		}
	}
}

// What is changed is in the next answer.
func TestChangesAtOnce(t *testing.T) {
	b := newBox(t, front())
	other := func(name, addr string) records.Sandbox {
		return records.Sandbox{ID: "1", Endpoints: []records.Endpoint{{Network: "front", Addrs: addrs(addr), Names: []string{name}}}}
	}
	for i := range 200 {
		name, addr := fmt.Sprintf("db%d", i), fmt.Sprintf("172.18.1.%d", i)
		b.put(other(name, addr))
		if got := short(b.ask("udp", name, dns.TypeA)); got != addr {
			t.Fatalf("%s: %s, want %s", name, got, addr)
		}
		if got := short(b.ask("udp", fmt.Sprintf("db%d", i-1), dns.TypeA)); got != "SERVFAIL" {
			t.Fatalf("the name before %s: %s", name, got)
		}
	}
	// Connected to another network, and disconnected.
	s := front()
	s.Endpoints = append(s.Endpoints, records.Endpoint{Network: "back", Addrs: addrs("172.19.0.2"), Names: []string{"backend"}})
	b.put(s)
	if got := short(b.ask("udp", "backend", dns.TypeA)); got != "172.19.0.2" {
		t.Errorf("connected: %s", got)
	}
	b.put(front())
	if got := short(b.ask("udp", "backend", dns.TypeA)); got != "SERVFAIL" {
		t.Errorf("disconnected: %s", got)
	}
	must(t, b.records.Remove(t.Context(), "1"))
	if got := short(b.ask("udp", "db199", dns.TypeA)); got != "SERVFAIL" {
		t.Errorf("removed: %s", got)
	}
}

// A container that is on the default bridge alone is connected to a network.
func TestConnectedLater(t *testing.T) {
	b := newBox(t, records.Sandbox{Endpoints: []records.Endpoint{{Network: "bridge", Plain: true}}})
	refused := func() bool {
		c := b.dial("udp")
		_, err := c.Write([]byte("?"))
		if err == nil {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
		}
		return err != nil && strings.Contains(err.Error(), "refused")
	}
	if !refused() {
		t.Error("somebody answers on the default bridge")
	}
	must(t, b.Refresh())
	if !refused() {
		t.Error("somebody answers though nothing has changed")
	}
	b.put(front())
	for range 2 {
		must(t, b.Refresh())
	}
	if got := short(b.ask("udp", "me", dns.TypeA)); got != "172.18.0.2" {
		t.Errorf("got %s", got)
	}
}

// unheard says whether nobody listens for TCP.
func unheard(b *box) bool {
	return netns.At(b.ns, func() error {
		c, err := net.Dial("tcp", "127.0.0.11:53")
		if err == nil {
			_ = c.Close()
		}
		return err
	}) != nil
}

// The container's port 53 is its own.
func TestServerInTheContainer(t *testing.T) {
	b := newBox(t, front())
	upstreamServer(t, b.ns, "0.0.0.0", answers("198.51.100.1"))
	must(t, netns.At(b.ns, func() error {
		for _, network := range []string{"udp", "tcp"} {
			m, _, err := (&dns.Client{Net: network, Timeout: patience}).Exchange(new(dns.Msg).SetQuestion("me.", dns.TypeA), "127.0.0.1:53")
			if err != nil || short(m) != "198.51.100.1" {
				t.Errorf("the container's own server by %s: %v, %v", network, m, err)
			}
		}
		return nil
	}))
	for _, network := range []string{"udp", "tcp"} {
		if got := short(b.ask(network, "me", dns.TypeA)); got != "172.18.0.2" {
			t.Errorf("the resolver by %s: %s", network, got)
		}
	}
}

func TestForward(t *testing.T) {
	upstreamServer(t, host, "127.0.0.1", answers("192.0.2.1"))
	upstreamServer(t, host, "127.0.0.2", fails(dns.RcodeServerFailure))
	upstreamServer(t, host, "127.0.0.3", fails(dns.RcodeRefused))
	upstreamServer(t, host, "127.0.0.4", fails(dns.RcodeNameError))
	internal := front()
	internal.Endpoints[0].Internal = true
	inside := streams.Server{Addr: netip.MustParseAddr("127.0.0.9")}
	for _, tt := range []struct {
		name    string
		sandbox records.Sandbox
		servers []streams.Server
		want    string
	}{
		{"one", front(), []streams.Server{hostServer("127.0.0.1")}, "192.0.2.1"},
		{"the first fails", front(), []streams.Server{hostServer("127.0.0.2"), hostServer("127.0.0.3"), hostServer("127.0.0.1")}, "192.0.2.1"},
		{"the first is not there", front(), []streams.Server{hostServer("127.0.0.5"), hostServer("127.0.0.1")}, "192.0.2.1"},
		{"a name that is none is an answer", front(), []streams.Server{hostServer("127.0.0.4"), hostServer("127.0.0.1")}, "NXDOMAIN"},
		{"all fail", front(), []streams.Server{hostServer("127.0.0.2"), hostServer("127.0.0.3"), hostServer("127.0.0.5")}, "SERVFAIL"},
		{"the fourth is not asked", front(), []streams.Server{hostServer("127.0.0.2"), hostServer("127.0.0.2"), hostServer("127.0.0.3"), hostServer("127.0.0.1")}, "SERVFAIL"},
		{"none", front(), nil, "SERVFAIL"},
		{"itself", front(), []streams.Server{{Addr: Address}}, "SERVFAIL"},
		{"in the container", front(), []streams.Server{inside}, "198.51.100.1"},
		{"an internal network asks no server of the host", internal, []streams.Server{hostServer("127.0.0.1")}, "SERVFAIL"},
		{"but one that it reaches itself", internal, []streams.Server{hostServer("127.0.0.1"), inside}, "198.51.100.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t, tt.sandbox, tt.servers...)
			upstreamServer(t, b.ns, "127.0.0.9", answers("198.51.100.1"))
			for _, network := range []string{"udp", "tcp"} {
				if got := short(b.ask(network, "example.com", dns.TypeA)); got != tt.want {
					t.Errorf("by %s: %s, want %s", network, got, tt.want)
				}
			}
		})
	}
}

// Names without a dot stay here when the user wants search domains for them.
func TestNdots(t *testing.T) {
	upstreamServer(t, host, "127.0.0.1", answers("192.0.2.1"))
	b := newBox(t, front(), hostServer("127.0.0.1"))
	b.cfg.Ndots = true
	for name, want := range map[string]string{"single": "NOERROR", "single.lan": "192.0.2.1", "me": "172.18.0.2"} {
		if got := short(b.ask("udp", name, dns.TypeA)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A server that says nothing costs less than two seconds, and only once.
func TestFailOver(t *testing.T) {
	if step >= 2*time.Second {
		t.Errorf("the next server is asked after %s", step)
	}
	var asked atomic.Int32
	silence := make(chan struct{})
	defer close(silence)
	upstreamServer(t, host, "127.0.0.1", func(dns.ResponseWriter, *dns.Msg) { asked.Add(1); <-silence })
	upstreamServer(t, host, "127.0.0.2", answers("192.0.2.2"))
	b := newBox(t, front(), hostServer("127.0.0.1"), hostServer("127.0.0.2"))
	for _, network := range []string{"udp", "tcp"} {
		m, _, err := (&dns.Client{Net: network, Timeout: patience}).ExchangeWithConn(
			new(dns.Msg).SetQuestion("example.com.", dns.TypeA), &dns.Conn{Conn: b.dial(network)})
		if err != nil || short(m) != "192.0.2.2" {
			t.Errorf("%s: %v, %v", network, m, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the silent server was asked %d times", n)
	}
}

// Answers that somebody else sends are not taken.
func TestForgedAnswers(t *testing.T) {
	upstreamServer(t, host, "127.0.0.1", func(w dns.ResponseWriter, m *dns.Msg) {
		forged := m.Copy()
		forged.Id++
		answers("203.0.113.1")(w, forged)
		forged = m.Copy()
		forged.Question[0].Name = "example.org."
		answers("203.0.113.2")(w, forged)
		_, _ = w.Write([]byte("nonsense"))
		answers("192.0.2.1")(w, m)
	})
	b := newBox(t, front(), hostServer("127.0.0.1"))
	if got := short(b.ask("udp", "example.com", dns.TypeA)); got != "192.0.2.1" {
		t.Errorf("got %s", got)
	}
}

// What does not fit in a datagram is asked for again by TCP.
func TestTruncation(t *testing.T) {
	const many = 400
	upstreamServer(t, host, "127.0.0.1", func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg).SetReply(m)
		for i := range many {
			r.Answer = append(r.Answer, &dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(10, 1, byte(i>>8), byte(i))})
		}
		r.Compress = true
		_ = w.WriteMsg(r) // however large
	})
	b := newBox(t, front(), hostServer("127.0.0.1"))
	for i := range many {
		b.put(records.Sandbox{ID: fmt.Sprint(i), Endpoints: []records.Endpoint{{Network: "front",
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{172, 18, byte(1 + i>>8), byte(i)})}, Names: []string{fmt.Sprint("c", i), "all"}}}})
	}
	for _, tt := range []struct {
		name, network string
		edns          uint16
		truncated     bool
		least, most   int
	}{
		{"all", "udp", 0, true, 25, 32},
		{"all", "udp", 1232, true, 70, 80},
		{"all", "udp", 65535, true, 250, 260},
		{"all", "udp", 1, true, 25, 32},
		{"all", "tcp", 0, false, many, many},
		{"example.com", "udp", 0, true, 0, 0},
		{"example.com", "udp", 1232, true, 0, 0},
		{"example.com", "tcp", 0, false, many, many},
	} {
		m := b.ask(tt.network, tt.name, dns.TypeA, func(m *dns.Msg) {
			if tt.edns > 0 {
				m.SetEdns0(tt.edns, false)
			}
		})
		if n := len(m.Answer); m.Truncated != tt.truncated || n < tt.least || n > tt.most {
			t.Errorf("%s by %s, EDNS %d: %d addresses, truncated %v", tt.name, tt.network, tt.edns, n, m.Truncated)
		}
		if tt.edns > 0 && m.IsEdns0() == nil {
			t.Errorf("%s: no EDNS in the answer", tt.name)
		}
	}
	// Whoever takes the first of a shared name does not always take the same.
	first := map[string]bool{}
	for range 20 {
		first[b.ask("udp", "all", dns.TypeA).Answer[0].(*dns.A).A.String()] = true
	}
	if len(first) < 2 {
		t.Error("the addresses of a shared name come in the same order each time")
	}
}

// What is no query is refused or ignored, and hurts nobody else.
func TestBadQueries(t *testing.T) {
	b := newBox(t, front())
	for name, tt := range map[string]struct {
		change func(*dns.Msg)
		want   string
	}{
		"an update":     {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, "NOTIMP"},
		"two questions": {func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, "FORMERR"},
		"no question":   {func(m *dns.Msg) { m.Question = nil }, "FORMERR"},
		"of CHAOS":      {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, "SERVFAIL"},
	} {
		if got := short(b.ask("udp", "me", dns.TypeA, tt.change)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	c := b.dial("udp")
	for _, size := range []int{0, 1, 11, 12, 4096, 4097, 60000} {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	// Connections that say nothing, as many as there may be.
	for range 2 * maxConns {
		b.dial("tcp")
	}
	long := b.dial("udp") // a query of the greatest size
	if _, err := long.Write(append([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, make([]byte, maxQuery)...)); err != nil {
		t.Fatal(err)
	}
	if got := short(b.ask("udp", "me", dns.TypeA)); got != "172.18.0.2" {
		t.Errorf("got %s", got)
	}
}

// Ten thousand queries, from clients that ask as fast as they can, and none is
// lost.
func TestManyQueries(t *testing.T) {
	b := newBox(t, front())
	const clients, each = 50, 200
	var wg sync.WaitGroup
	var answered atomic.Int32
	for range clients {
		c := b.dial("udp")
		wg.Go(func() {
			_ = c.SetDeadline(time.Now().Add(patience))
			for i := range each {
				m := new(dns.Msg).SetQuestion("me.", dns.TypeA)
				m.Id = uint16(i)
				q, _ := m.Pack()
				if _, err := c.Write(q); err != nil {
					t.Error(err)
				}
			}
			buf := make([]byte, 512)
			for range each {
				n, err := c.Read(buf)
				if err != nil {
					t.Error(err)
					return
				}
				var m dns.Msg
				if m.Unpack(buf[:n]) == nil && short(&m) == "172.18.0.2" {
					answered.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := answered.Load(); n != clients*each {
		t.Errorf("%d answers to %d queries", n, clients*each)
	}
}

// A resolver that ends leaves no goroutine waiting, whatever its clients do.
func TestCloseWhileAsked(t *testing.T) {
	silence := make(chan struct{})
	defer close(silence)
	asked := make(chan struct{}, 8)
	upstreamServer(t, host, "127.0.0.1", func(dns.ResponseWriter, *dns.Msg) { asked <- struct{}{}; <-silence })
	b := newBox(t, front(), hostServer("127.0.0.1"))
	m, _ := new(dns.Msg).SetQuestion("example.com.", dns.TypeA).Pack()
	udp, tcp := b.dial("udp"), b.dial("tcp")
	_, _ = udp.Write(m)
	must(t, writeTCP(tcp, m))
	<-asked
	<-asked
	closed := make(chan struct{})
	go func() { b.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("Close hangs")
	}
	if !unheard(b) {
		t.Error("somebody listens after Close")
	}
}

// A container that is started again in the namespace that another has joined.
func TestOpenAgain(t *testing.T) {
	b := newBox(t, front())
	b.Close()
	again, err := Open(b.cfg)
	must(t, err)
	t.Cleanup(again.Close)
	for _, network := range []string{"udp", "tcp"} {
		if got := short(b.ask(network, "me", dns.TypeA)); got != "172.18.0.2" {
			t.Errorf("by %s: %s", network, got)
		}
	}
}

// Several containers in one namespace have a resolver each, which end in any order:
// as long as there is one, every question is answered.
func TestSharedNamespace(t *testing.T) {
	b := newBox(t, front())
	answers := func(when string) {
		t.Helper()
		for range 20 { // from as many ports, by which the kernel chooses
			for _, network := range []string{"udp", "tcp"} {
				if got := short(b.ask(network, "me", dns.TypeA)); got != "172.18.0.2" {
					t.Errorf("%s, by %s: %s", when, network, got)
				}
			}
		}
	}
	another := func() *Resolver {
		t.Helper()
		r, err := Open(b.cfg)
		must(t, err)
		t.Cleanup(r.Close)
		return r
	}
	joined := another()
	answers("two")
	b.Close()
	answers("the first has ended")
	again := another()
	joined.Close()
	answers("the first is there again, and the second has ended")
	again.Close()
	if !unheard(b) {
		t.Error("somebody listens after the last")
	}
}

// Ports that the container has taken meanwhile, and rules that it wrote, do not
// keep a resolver from listening.
func TestPortsAreTaken(t *testing.T) {
	for name, change := range map[string]func(b *box, udp, tcp uint16) error{
		"taken": func(b *box, _, tcp uint16) error {
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.11:%d", tcp))
			if err == nil {
				b.t.Cleanup(func() { _ = l.Close() })
			}
			return err
		},
		"flushed": func(*box, uint16, uint16) error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			c.FlushTable(table())
			return c.Flush()
		},
		"strange rules": func(*box, uint16, uint16) error {
			c, err := nftables.New()
			if err != nil {
				return err
			}
			c.FlushTable(table())
			c.AddRule(&nftables.Rule{Table: table(), Chain: &nftables.Chain{Name: there}, Exprs: []expr.Any{
				&expr.Immediate{Register: 1, Data: []byte{1}}, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}}})
			return c.Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, front())
			var udp, tcp uint16
			must(t, netns.At(b.ns, func() error { udp, tcp = redirected(); return nil }))
			if udp == 0 || tcp == 0 {
				t.Fatalf("ports %d and %d", udp, tcp)
			}
			b.Close()
			must(t, netns.At(b.ns, func() error { return change(b, udp, tcp) }))
			again, err := Open(b.cfg)
			must(t, err)
			t.Cleanup(again.Close)
			for _, network := range []string{"udp", "tcp"} {
				if got := short(b.ask(network, "me", dns.TypeA)); got != "172.18.0.2" {
					t.Errorf("by %s: %s", network, got)
				}
			}
		})
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(streams.Names{NetNS: filepath.Join(dir, "none"), View: filepath.Join(dir, "view")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkQuery(b *testing.B) {
	x := newBox(b, front())
	c := x.dial("udp")
	q, _ := new(dns.Msg).SetQuestion("me.", dns.TypeA).Pack()
	buf := make([]byte, 512)
	for b.Loop() {
		if _, err := c.Write(q); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		x := newBox(b, front())
		x.Close()
		b.StartTimer()
		r, err := Open(x.cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		r.Close()
		b.StartTimer()
	}
}
