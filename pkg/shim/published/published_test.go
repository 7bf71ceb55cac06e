package published

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
)

// port is a socket at [::1], as berthd makes them, and where it listens.
func port(t *testing.T, udp bool) (fd int, addr string) {
	t.Helper()
	kind := syscall.SOCK_STREAM
	if udp {
		kind = syscall.SOCK_DGRAM
	}
	fd, err := syscall.Socket(syscall.AF_INET6, kind|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil && !udp {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}); err != nil {
		t.Fatal(err)
	}
	if !udp {
		if err := syscall.Listen(fd, 0); err != nil {
			t.Fatal(err)
		}
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("[::1]:%d", sa.(*syscall.SockaddrInet6).Port)
}

// echo serves what a container would, over IPv4.
func echo(t *testing.T) (tcp, udp netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, _ := io.ReadAll(c) // to the client's half-close
				_, _ = c.Write(b)
			}()
		}
	}()
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, peer, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(b[:n], peer)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String()), netip.MustParseAddrPort(u.LocalAddr().String())
}

func TestTCP(t *testing.T) {
	to, _ := echo(t)
	fd, addr := port(t, false)
	var s Set
	defer s.Close()
	if err := s.Take([]streams.Port{{To: to}}, []int{fd}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := bytes.Repeat([]byte("berth"), 1<<18)
	go func() {
		_, _ = c.Write(want)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestUDP(t *testing.T) {
	_, to := echo(t)
	fd, addr := port(t, true)
	var s Set
	defer s.Close()
	if err := s.Take([]streams.Port{{UDP: true, To: to}}, []int{fd}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 { // clients, each with its own answers
		c, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := bytes.Repeat([]byte{byte(i)}, 1000*(i+1))
		for range 3 {
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 64<<10)
			n, err := c.Read(got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Errorf("client %d: %d bytes, %v", i, n, err)
			}
		}
	}
}

// Nobody in the container: the client is told so.
func TestRefused(t *testing.T) {
	fd, addr := port(t, false)
	var s Set
	defer s.Close()
	if err := s.Take([]streams.Port{{To: netip.MustParseAddrPort("127.0.0.1:1")}}, []int{fd}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// Thousands of ports are served, each to where it leads, and none is left.
func TestThousands(t *testing.T) {
	const count = 2000
	to, _ := echo(t)
	nobody := netip.MustParseAddrPort("127.0.0.1:1")
	var s Set
	ports, fds, addrs := make([]streams.Port, count), make([]int, count), make([]string, count)
	for i := range fds {
		fds[i], addrs[i] = port(t, false)
		ports[i].To = to
		if i%2 == 1 {
			ports[i].To = nobody
		}
	}
	for i := 0; i < count; i += 250 {
		if err := s.Take(ports[i:i+250], fds[i:i+250]); err != nil {
			t.Fatal(err)
		}
	}
	var work sync.WaitGroup
	for i := range 400 {
		i *= count / 400
		i += i / 5 % 2 // odd ones, too
		work.Go(func() {
			c, err := net.Dial("tcp", addrs[i])
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = c.Write([]byte("hello"))
			_ = c.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(c)
			if i%2 == 0 && string(got) != "hello" || i%2 == 1 && (len(got) > 0 || !errors.Is(err, syscall.ECONNRESET)) {
				t.Errorf("port %d: %q, %v", i, got, err)
			}
		})
	}
	work.Wait()
	s.Release()
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatalf("the port is not free: %v", err)
		}
		_ = l.Close()
	}
	fd, addr := port(t, false) // and they may be given again
	if err := s.Take([]streams.Port{{To: to}}, []int{fd}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// Close ends connections and frees the ports before it returns.
func TestClose(t *testing.T) {
	to, toUDP := echo(t)
	tcp, addr := port(t, false)
	udp, _ := port(t, true)
	idle, idleAddr := port(t, false)
	var s Set
	if err := s.Take([]streams.Port{{To: to}, {UDP: true, To: toUDP}, {}}, []int{tcp, udp, idle}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.Close()
	s.Close()
	for _, a := range []string{addr, idleAddr} {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatalf("the port is not free: %v", err)
		}
		_ = l.Close()
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection: %v", err)
	}
	late, lateAddr := port(t, false)
	if err := s.Take([]streams.Port{{}}, []int{late}); !errdefs.IsUnavailable(err) {
		t.Errorf("taken after the end: %v", err)
	}
	l, err := net.Listen("tcp", lateAddr)
	if err != nil {
		t.Fatalf("a port that came too late is held: %v", err)
	}
	_ = l.Close()
}

// The sockets go over the shim's socket, in as many requests as it takes.
func TestGive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := streams.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var s Set
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			r, err := streams.ReadRequest(conn)
			if err == nil && r.Ports.Release {
				s.Close()
			} else if err == nil {
				var fds []int
				if fds, err = streams.ReadPorts(conn, len(r.Ports.Take)); err == nil {
					err = s.Take(r.Ports.Take, fds)
				}
			}
			_ = streams.WriteResponse(conn, streams.NewResponse(err))
			_ = conn.Close()
		}
	}()
	ports, fds := make([]streams.Port, 600), make([]int, 600)
	addrs := make([]string, 600)
	for i := range fds {
		fds[i], addrs[i] = port(t, false)
	}
	if err := streams.GivePorts(t.Context(), path, ports, fds); err != nil {
		t.Fatal(err)
	}
	closeAll(fds)
	if l, err := net.Listen("tcp", addrs[599]); err == nil {
		_ = l.Close()
		t.Error("the port is not held")
	}
	if err := streams.ReleasePorts(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
	if err := streams.GivePorts(t.Context(), path, ports[:1], nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a port without a socket: %v", err)
	}
	if err := streams.ReleasePorts(t.Context(), path+"-absent"); err != nil {
		t.Errorf("no shim: %v", err)
	}
}
