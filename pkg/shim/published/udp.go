package published

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// udpIdle is how long a client that gets no answer keeps its port towards the
// container: as long as with dockerd's userland proxy.
const udpIdle = 90 * time.Second

// udpClients bounds those that are served at a time; beyond, datagrams of new
// ones are dropped.
const udpClients = 1024

// relay is the traffic of one UDP port.
type relay struct {
	conn *net.UDPConn
	to   netip.AddrPort
	work sync.WaitGroup

	mu      sync.Mutex // guards clients
	clients map[netip.AddrPort]*net.UDPConn
}

// forwardUDP serves conn until it is closed; ctx ends the clients' parts.
func forwardUDP(ctx context.Context, conn *net.UDPConn, to netip.AddrPort) {
	r := &relay{conn: conn, to: to, clients: map[netip.AddrPort]*net.UDPConn{}}
	defer r.work.Wait()
	oob := make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo))
	for {
		err := receive(conn, oob, func(b, info []byte, from netip.AddrPort) {
			if c := r.client(ctx, from, info); c != nil {
				_, _ = c.Write(b) // it may be lost, like any datagram
			}
		})
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Anything else reports an answer that could not be delivered.
	}
}

// client is the connection to the container for datagrams from a client, nil
// when there is none to be had. info says at which of the host's addresses they
// came.
func (r *relay) client(ctx context.Context, from netip.AddrPort, info []byte) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.clients[from]; ok {
		return c
	}
	if len(r.clients) >= udpClients {
		return nil
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.to))
	if err != nil {
		return nil
	}
	r.clients[from] = c
	info = append([]byte(nil), info...)
	r.work.Go(func() { r.answer(ctx, c, from, info) })
	return c
}

// answer passes on what the container sends back.
func (r *relay) answer(ctx context.Context, c *net.UDPConn, to netip.AddrPort, info []byte) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.clients, to)
	}()
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	for {
		_ = c.SetReadDeadline(time.Now().Add(udpIdle))
		err := receive(c, nil, func(b, _ []byte, _ netip.AddrPort) {
			_, _, _ = r.conn.WriteMsgUDPAddrPort(b, info, to)
		})
		var timeout net.Error
		if errors.Is(err, net.ErrClosed) || errors.As(err, &timeout) && timeout.Timeout() {
			return
		}
		// Anything else: nobody listens in the container yet.
	}
}

// buffers are for the largest datagrams. A port that waits for one has none.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// receive calls f with the next datagram. What f is given is valid until it
// returns.
func receive(c *net.UDPConn, oob []byte, f func(b, oob []byte, from netip.AddrPort)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var received error
	err = raw.Read(func(fd uintptr) bool {
		buf := buffers.Get().(*[64 << 10]byte)
		defer buffers.Put(buf)
		n, oobn, _, from, err := unix.Recvmsg(int(fd), buf[:], oob, 0)
		if errors.Is(err, syscall.EAGAIN) {
			return false
		}
		if received = err; err == nil {
			f(buf[:n], oob[:oobn], addrPort(from))
		}
		return true
	})
	return errors.Join(err, received)
}

func addrPort(s unix.Sockaddr) netip.AddrPort {
	if a, ok := s.(*unix.SockaddrInet6); ok {
		ip := netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 {
			ip = ip.WithZone(zone(a.ZoneId))
		}
		return netip.AddrPortFrom(ip, uint16(a.Port))
	}
	return netip.AddrPort{} // of the container's side, and not needed
}

// zone names the interface of a link-local address.
func zone(index uint32) string {
	i, err := net.InterfaceByIndex(int(index))
	if err != nil {
		return ""
	}
	return i.Name
}
