package ports

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { nettest.Main(m) }

var any4 = netip.IPv4Unspecified()

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		port, ip, hostPort string
		want               string // "" is InvalidArgument
	}{
		{"80/tcp", "", "8080", "80/tcp 0.0.0.0,:: 8080-8080"},
		{"80/tcp", "", "", "80/tcp 0.0.0.0,:: 0-0"},
		{"80/tcp", "", "0", "80/tcp 0.0.0.0,:: 0-0"},
		{"53/udp", "127.0.0.1", "53", "53/udp 127.0.0.1 53-53"},
		{"9/sctp", "::1", "8000-8010", "9/sctp ::1 8000-8010"},
		{"80/tcp", "::ffff:10.0.0.1", "65535", "80/tcp 10.0.0.1 65535-65535"},
		{"80/tcp", "", "80-80", "80/tcp 0.0.0.0,:: 80-80"},
		{"80/tcp", "", "65536", ""},
		{"80/tcp", "", "-1", ""},
		{"80/tcp", "", "+80", ""},
		{"80/tcp", "", "8010-8000", ""},
		{"80/tcp", "", "0-10", ""},
		{"80/tcp", "", "8000-", ""},
		{"80/tcp", "", "8000-8001-8002", ""},
		{"80/tcp", "", " 80", ""},
		{"80/tcp", "", "http", ""},
		{"80/dccp", "", "80", ""},
		{"0/tcp", "", "80", ""},
		{"80/tcp", "fe80::1%eth0", "80", ""},
	} {
		t.Run(tt.port+" "+tt.ip+" "+tt.hostPort, func(t *testing.T) {
			b := network.PortBinding{HostPort: tt.hostPort}
			if tt.ip != "" {
				b.HostIP = netip.MustParseAddr(tt.ip)
			}
			got, err := Parse(network.PortMap{network.MustParsePort(tt.port): {b}}, any4)
			if tt.want == "" {
				if !errdefs.IsInvalidArgument(err) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || len(got) != 1 || text(got[0]) != tt.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func text(r Request) string {
	var ips []string
	for _, ip := range r.HostIPs {
		ips = append(ips, ip.String())
	}
	return fmt.Sprintf("%s %s %d-%d", r.Container, strings.Join(ips, ","), r.First, r.Last)
}

func FuzzParseHostPort(f *testing.F) {
	for _, s := range []string{"", "0", "80", "8000-8010", "-", "99999", "1-2-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, err := parseHostPort(s)
		if err == nil && (first > last || first == 0 && last != 0) {
			t.Errorf("%q: %d-%d", s, first, last)
		}
	})
}

// Ports that the engine chooses come after those that are named.
func TestParseOrder(t *testing.T) {
	m := network.PortMap{
		network.MustParsePort("80/tcp"):  {{HostPort: ""}, {HostPort: "1000-1001"}},
		network.MustParsePort("80/udp"):  {{HostPort: "1000"}},
		network.MustParsePort("443/tcp"): {{HostPort: "1000"}},
	}
	want := "80/tcp 0.0.0.0,:: 1000-1001, 80/udp 0.0.0.0,:: 1000-1000, 443/tcp 0.0.0.0,:: 1000-1000, 80/tcp 0.0.0.0,:: 0-0"
	for range 20 {
		got, err := Parse(m, any4)
		if err != nil {
			t.Fatal(err)
		}
		var s []string
		for _, r := range got {
			s = append(s, text(r))
		}
		if strings.Join(s, ", ") != want {
			t.Fatalf("got %v", s)
		}
	}
}

func request(port, ip string, first, last uint16) Request {
	r := Request{Container: network.MustParsePort(port), First: first, Last: last, Named: true}
	for a := range strings.SplitSeq(ip, ",") {
		r.HostIPs = append(r.HostIPs, netip.MustParseAddr(a))
	}
	return r
}

func newAllocator(t *testing.T) *Allocator {
	a := NewAllocator(slog.New(slog.DiscardHandler))
	t.Cleanup(a.Close)
	return a
}

func bind(t *testing.T, a *Allocator, owner string, r ...Request) string {
	t.Helper()
	b, err := a.Bind(owner, owner, r)
	if err != nil {
		return err.Error()
	}
	var s []string
	for _, x := range b {
		s = append(s, x.Host.String())
	}
	return strings.Join(s, " ")
}

func TestConflicts(t *testing.T) {
	taken := func(addr string, port int, by string) string {
		return fmt.Sprintf("Bind for %s:%d failed: port is already allocated (port %d is held by container %s)", addr, port, port, by)
	}
	a := newAllocator(t)
	for _, tt := range []struct {
		name, owner string
		r           Request
		want        string
	}{
		{"first", "web", request("80/tcp", "0.0.0.0", 8080, 8080), "0.0.0.0:8080"},
		{"the same", "api", request("80/tcp", "0.0.0.0", 8080, 8080), taken("0.0.0.0", 8080, "web")},
		{"one address of it", "api", request("80/tcp", "127.0.0.1", 8080, 8080), taken("127.0.0.1", 8080, "web")},
		{"another protocol", "udp", request("80/udp", "0.0.0.0", 8080, 8080), "0.0.0.0:8080"},
		{"another family", "six", request("80/tcp", "::", 8080, 8080), "[::]:8080"},
		{"one address", "local", request("80/tcp", "127.0.0.1", 9090, 9090), "127.0.0.1:9090"},
		{"another address", "local2", request("80/tcp", "127.0.0.2", 9090, 9090), "127.0.0.2:9090"},
		{"all with one taken", "api", request("80/tcp", "0.0.0.0", 9090, 9090), ""},
		{"a range steps over", "range", request("80/tcp", "0.0.0.0", 8080, 8082), "0.0.0.0:8081"},
		{"a range steps on", "range2", request("80/tcp", "0.0.0.0", 8080, 8082), "0.0.0.0:8082"},
		{"a range is full", "range3", request("80/tcp", "0.0.0.0", 8080, 8082), taken("0.0.0.0", 8082, "range2")},
		{"both families", "dual", request("80/tcp", "0.0.0.0,::", 6060, 6061), "0.0.0.0:6060 [::]:6060"},
		{"both where one has one", "dual2", request("80/tcp", "0.0.0.0,::", 8080, 8084), "0.0.0.0:8083 [::]:8083"},
		{"both, with the other family's taken", "dual3", request("80/tcp", "0.0.0.0,::", 6060, 6060), taken("0.0.0.0", 6060, "dual")},
		{"not an address of the host", "far", request("80/tcp", "203.0.113.1", 80, 80),
			"failed to bind host port 203.0.113.1:80/tcp: cannot assign requested address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := bind(t, a, tt.owner, tt.r)
			if tt.want == "" { // either of the two
				if got != taken("0.0.0.0", 9090, "local") && got != taken("0.0.0.0", 9090, "local2") {
					t.Errorf("got %q", got)
				}
			} else if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	a.Release("web")
	a.Release("web")
	if got := bind(t, a, "api", request("80/tcp", "0.0.0.0", 8080, 8080)); got != "0.0.0.0:8080" {
		t.Errorf("after release: %q", got)
	}
}

// All or none: what was granted before the failure is free again.
func TestAllOrNone(t *testing.T) {
	a := newAllocator(t)
	bind(t, a, "web", request("80/tcp", "0.0.0.0", 8080, 8080))
	got := bind(t, a, "api", request("80/tcp", "0.0.0.0", 7070, 7070), request("81/tcp", "0.0.0.0", 8080, 8080))
	if !strings.HasPrefix(got, "Bind for 0.0.0.0:8080 failed: port is already allocated") {
		t.Fatalf("got %q", got)
	}
	if got := bind(t, a, "db", request("80/tcp", "0.0.0.0", 7070, 7070)); got != "0.0.0.0:7070" {
		t.Errorf("got %q", got)
	}
}

func TestHostSockets(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp4", "0.0.0.0:53")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	a := newAllocator(t)
	self, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Request{request("80/tcp", "0.0.0.0", 8080, 8080), request("53/udp", "127.0.0.1", 53, 53)} {
		want := fmt.Sprintf("failed to bind host port %s:%d/%s: address already in use (%s, process %d)",
			r.HostIPs[0], r.First, r.Container.Proto(), strings.TrimSpace(string(self)), os.Getpid())
		if got := bind(t, a, "web", r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := bind(t, a, "web", request("80/tcp", "0.0.0.0", 8080, 8080)); got != "0.0.0.0:8080" {
		t.Fatalf("got %q", got)
	}
	// And the other way round: nobody else gets the container's.
	if l, err := net.Listen("tcp4", "127.0.0.1:8080"); err == nil {
		_ = l.Close()
		t.Error("a program took a published port")
	}
}

// Connections that linger after their server has gone do not hold its port.
func TestTimeWait(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close() // first: its side is in TIME_WAIT
	_ = c.Close()
	_ = l.Close()
	if got := bind(t, newAllocator(t), "web", request("80/tcp", "0.0.0.0", 8080, 8080)); got != "0.0.0.0:8080" {
		t.Errorf("got %q", got)
	}
}

func TestRandom(t *testing.T) {
	first, last := ephemeral()
	l, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", first+1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := newAllocator(t)
	got := bind(t, a, "web", request("80/tcp", "0.0.0.0", 0, 0), request("81/tcp", "0.0.0.0", 0, 0), request("82/udp", "0.0.0.0", 0, 0))
	if want := fmt.Sprintf("0.0.0.0:%d 0.0.0.0:%d 0.0.0.0:%d", first, first+2, first+2); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a.next = last // begins anew at the range's end
	bind(t, a, "end", request("80/tcp", "0.0.0.0", 0, 0))
	a.Release("web")
	if got := bind(t, a, "again", request("80/tcp", "0.0.0.0", 0, 0)); got != fmt.Sprintf("0.0.0.0:%d", first) {
		t.Errorf("got %s", got)
	}
}

func TestRestore(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:9090") // came while the daemon was away
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := newAllocator(t)
	a.Restore("web", "web", []Binding{
		{Container: network.MustParsePort("80/tcp"), Host: netip.MustParseAddrPort("0.0.0.0:8080")},
		{Container: network.MustParsePort("90/tcp"), Host: netip.MustParseAddrPort("0.0.0.0:9090")},
	}, false)
	for _, p := range []uint16{8080, 9090} {
		if got := bind(t, a, "api", request("80/tcp", "0.0.0.0", p, p)); !strings.Contains(got, "held by container web") {
			t.Errorf("got %q", got)
		}
	}
	a.Release("web")
	if got := bind(t, a, "api", request("80/tcp", "0.0.0.0", 8080, 8080)); got != "0.0.0.0:8080" {
		t.Errorf("got %q", got)
	}
}

// Without descriptors to spare ports are published all the same.
func TestOutOfDescriptors(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3
	a := newAllocator(t)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	got := bind(t, a, "web", request("80/tcp", "0.0.0.0", 8080, 8080))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if got != "0.0.0.0:8080" {
		t.Errorf("got %q", got)
	}
}

// Half of the files are left to the rest of the process; ports without a socket
// are checked all the same.
func TestFewDescriptors(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:9003")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := newAllocator(t)
	a.most = 1
	if got := bind(t, a, "web", request("80/tcp", "0.0.0.0", 9000, 9000), request("81/tcp", "0.0.0.0,::", 9001, 9001)); got != "0.0.0.0:9000 0.0.0.0:9001 [::]:9001" {
		t.Errorf("got %q", got)
	}
	if n := a.sockets.Load(); n != 1 {
		t.Errorf("%d sockets", n)
	}
	for _, addr := range []string{"0.0.0.0:9001", "[::]:9001"} { // it is free to take: nothing holds it
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
	if got := bind(t, a, "api", request("80/tcp", "0.0.0.0", 9003, 9003)); !strings.Contains(got, "address already in use") {
		t.Errorf("got %q", got)
	}
	a.Release("web")
	if n := a.sockets.Load(); n != 0 {
		t.Errorf("%d sockets after release", n)
	}
}

// Thousands of ports, at all addresses of both IP versions, are all held, and by no
// more files than ports.
func TestManyPorts(t *testing.T) {
	a := newAllocator(t)
	a.most = 8000
	if got := bind(t, a, "web", many()...); !strings.HasSuffix(got, " 0.0.0.0:17999 [::]:17999") {
		t.Fatalf("bound ...%s", got[max(0, len(got)-200):])
	}
	if n := a.sockets.Load(); n != 8000 {
		t.Errorf("%d sockets", n)
	}
	for port := 10000; port < 18000; port++ {
		for _, addr := range []string{"127.0.0.1:%d", "[::1]:%d"} {
			if l, err := net.Listen("tcp", fmt.Sprintf(addr, port)); err == nil {
				_ = l.Close()
				t.Fatalf("a program took "+addr, port)
			}
		}
	}
	if got := bind(t, a, "api", request("80/tcp", "0.0.0.0,::", 17999, 17999)); !strings.Contains(got, "held by container web") {
		t.Errorf("got %q", got)
	}
	a.Release("web")
	if n := a.sockets.Load(); n != 0 {
		t.Errorf("%d sockets after release", n)
	}
	l, err := net.Listen("tcp", "0.0.0.0:17999")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// Who has one of the two families is found out.
	for _, port := range []uint16{17998, 17999} {
		want := fmt.Sprintf("0.0.0.0:%d [::]:%d", port, port)
		if port == 17999 {
			want = "failed to bind host port 0.0.0.0:17999/tcp: address already in use"
		}
		if got := bind(t, a, "api", request("80/tcp", "0.0.0.0,::", port, port)); !strings.HasPrefix(got, want) {
			t.Errorf("got %q", got)
		}
		a.Release("api")
	}
}

// many are 8,000 ports at all addresses.
func many() (all []Request) {
	for p := range uint16(8000) {
		all = append(all, request("80/tcp", "0.0.0.0,::", 10000+p, 10000+p))
	}
	return all
}

// 8,000 ports must not be slow to get or to give back.
func BenchmarkBind8000(b *testing.B) {
	a := NewAllocator(slog.New(slog.DiscardHandler))
	defer a.Close()
	all := many()
	for b.Loop() {
		if _, err := a.Bind("web", "web", all); err != nil {
			b.Fatal(err)
		}
		a.Release("web")
	}
}

func FuzzListener(f *testing.F) {
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1", uint16(8080))
	f.Fuzz(func(t *testing.T, line string, port uint16) {
		if inode, ok := listener(line, unix.IPPROTO_TCP, port); ok && (inode == "" || !strings.Contains(line, inode)) {
			t.Errorf("inode %q", inode)
		}
	})
}

func TestListener(t *testing.T) {
	line := "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1"
	for _, tt := range []struct {
		line string
		port uint16
		want string
	}{
		{line, 8080, "4711"}, {line, 8081, ""}, {strings.Replace(line, " 0A ", " 01 ", 1), 8080, ""},
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", 8080, ""}, {"", 8080, ""},
	} {
		if inode, ok := listener(tt.line, unix.IPPROTO_TCP, tt.port); ok != (tt.want != "") || ok && inode != tt.want {
			t.Errorf("%q: %q, %v", tt.line, inode, ok)
		}
	}
}

// What another process holds is not held here, and still is owner's.
func TestHandOver(t *testing.T) {
	a := newAllocator(t)
	bind(t, a, "web", request("80/tcp", "0.0.0.0,::", 8080, 8080))
	taken := []int{}
	refuse := errors.New("no")
	for _, answer := range []error{refuse, nil, refuse} {
		err := a.HandOver("web", func(b []Binding, fds []int) error {
			if len(b) != 1 || b[0].Host.String() != "[::]:8080" || len(fds) != 1 {
				t.Errorf("given %v, %v", b, fds)
			}
			for _, fd := range fds {
				if answer == nil {
					copied, err := unix.Dup(fd)
					if err != nil {
						t.Fatal(err)
					}
					taken = append(taken, copied)
				}
			}
			return answer
		})
		if len(taken) == 0 && !errors.Is(err, refuse) || len(taken) > 0 && err != nil {
			t.Errorf("%v after %v", err, taken)
		}
	}
	if n := a.sockets.Load(); n != 0 {
		t.Errorf("%d sockets are still here", n)
	}
	if got := bind(t, a, "api", request("80/tcp", "0.0.0.0", 8080, 8080)); !strings.Contains(got, "held by container web") {
		t.Errorf("got %q", got)
	}
	a.Release("web")
	if got := bind(t, a, "api", request("80/tcp", "0.0.0.0", 8080, 8080)); !strings.Contains(got, "address already in use") {
		t.Errorf("while the other process holds it: %q", got)
	}
	for _, fd := range taken {
		_ = unix.Close(fd)
	}
	if got := bind(t, a, "api", request("80/tcp", "0.0.0.0", 8080, 8080)); got != "0.0.0.0:8080" {
		t.Errorf("got %q", got)
	}
	// A daemon that begins again while the holder lives.
	b := newAllocator(t)
	b.Restore("web", "web", []Binding{{Container: network.MustParsePort("80/tcp"), Host: netip.MustParseAddrPort("0.0.0.0:8080")}}, true)
	if got := bind(t, b, "x", request("80/tcp", "0.0.0.0", 8080, 8080)); !strings.Contains(got, "held by container web") {
		t.Errorf("got %q", got)
	}
}
