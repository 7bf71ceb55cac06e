// Package resolver answers the names that a container asks for at 127.0.0.11,
// as Docker does: those of its networks from the files that package records
// keeps, all others from the name servers that the container was given. It runs
// in the container's shim with sockets in the container's network namespace;
// no daemon takes part.
//
// Whoever is in the container may send anything, and so may a name server: what
// is read, kept and waited for is bounded.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/berth-engine/berth/pkg/streams"
	"golang.org/x/sys/unix"
)

// Address is where the container asks, at the usual port.
var Address = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// receiveBuffer holds what a burst of queries brings while one is answered.
const receiveBuffer = 4 << 20

// maxForwarded is how many queries may wait for name servers at the same time.
// Docker has the same number.
const maxForwarded = 1024

// Resolver answers for one container.
type Resolver struct {
	cfg      streams.Names
	ns       *os.File // the container's network namespace
	view     *file[*view]
	upstream *upstream
	slots    chan struct{} // one is held by each query that waits for name servers

	turn      chan struct{} // held by the one who may make the sockets
	listening bool          // whose turn it is changes it

	ctx     context.Context // ends with the resolver
	cancel  context.CancelFunc
	closing sync.Once
	wg      sync.WaitGroup
}

// Open makes a resolver. It listens if the container is on a network that has
// names, or else once Refresh finds it there.
func Open(cfg streams.Names) (_ *Resolver, err error) {
	r := &Resolver{cfg: cfg, view: viewFile(cfg.View), slots: make(chan struct{}, maxForwarded), turn: make(chan struct{}, 1)}
	if r.ns, err = os.Open(cfg.NetNS); err != nil {
		return nil, fmt.Errorf("names: %w", err)
	}
	r.upstream = newUpstream(cfg.Servers, r.dial)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.Refresh(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close ends the resolver. When it returns nothing of it is left in the
// container's network namespace but the redirection.
func (r *Resolver) Close() {
	r.closing.Do(func() {
		r.cancel()
		r.turn <- struct{}{} // for good
		r.wg.Wait()
		r.view.close()
		_ = r.ns.Close()
	})
}

// Refresh is for when the container's networks have changed. What is answered
// follows by itself; that anything is begins with the first network that has
// names.
func (r *Resolver) Refresh() error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-r.ctx.Done():
		return nil
	}
	if v := r.view.get(); r.listening || v == nil || len(v.networks) == 0 {
		return nil
	}
	if err := r.listen(); err != nil {
		return err
	}
	r.listening = true
	return nil
}

// listen has packets for 127.0.0.11:53 come to sockets in the container, at ports
// of their own so that the container's port 53 stays its own.
func (r *Resolver) listen() error {
	var s sockets
	done := func() error { return nil }
	err := netns.In(r.ns, func() (err error) {
		// Other containers in the namespace have shims of their own, which answer the
		// same: by the same ports, so that any of them may end.
		if s, err = r.share(redirected()); err == nil {
			return nil
		}
		if s, err = r.bind(0, 0); err == nil {
			done, err = redirect(port(s.udp.LocalAddr()), port(s.tcp.Addr()))
		}
		return err
	})
	if err != nil {
		s.close()
		return fmt.Errorf("listening for the container's names: %w", err)
	}
	context.AfterFunc(r.ctx, s.close)
	r.wg.Go(func() { _ = done() })
	r.wg.Go(func() { r.serveUDP(s.udp) })
	r.wg.Go(func() { r.serveTCP(s.tcp) })
	return nil
}

// sockets are the resolver's in the container.
type sockets struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

func (s sockets) close() {
	if s.udp != nil {
		_ = s.udp.Close()
	}
	if s.tcp != nil {
		_ = s.tcp.Close()
	}
}

// share joins the resolvers that listen at these ports.
func (r *Resolver) share(udp, tcp uint16) (sockets, error) {
	if udp == 0 || tcp == 0 {
		return sockets{}, errors.New("there are none")
	}
	return r.bind(udp, tcp)
}

// bind opens sockets at these ports, 0 being any, in the calling thread's network
// namespace. The kernel gives a query to one of the sockets that share a port
// (SO_REUSEPORT), and to the others when that one is closed, by whatever death.
func (r *Resolver) bind(udp, tcp uint16) (s sockets, err error) {
	defer func() {
		if err != nil {
			s.close()
			s = sockets{}
		}
	}()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, unix.SO_REUSEPORT, 1)
	}}
	conn, err := config.ListenPacket(r.ctx, "udp4", netip.AddrPortFrom(Address, udp).String())
	if err != nil {
		return s, err
	}
	s.udp = conn.(*net.UDPConn)
	l, err := config.Listen(r.ctx, "tcp4", netip.AddrPortFrom(Address, tcp).String())
	if err != nil {
		return s, err
	}
	s.tcp = l.(*net.TCPListener)
	raw, err := s.udp.SyscallConn()
	if err != nil {
		return s, err
	}
	// More than net.core.rmem_max, which is for processes that are not trusted.
	return s, control(raw, unix.SO_RCVBUFFORCE, receiveBuffer)
}

// control sets an option of the socket.
func control(c syscall.RawConn, option, value int) error {
	var set error
	err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value) })
	return errors.Join(err, set)
}

func port(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// dial connects to a name server from where it is to be asked.
func (r *Resolver) dial(ctx context.Context, network string, s streams.Server) (c net.Conn, err error) {
	var d net.Dialer
	to := netip.AddrPortFrom(s.Addr, dnsPort).String()
	if s.Host {
		return d.DialContext(ctx, network, to)
	}
	err = netns.In(r.ns, func() error {
		c, err = d.DialContext(ctx, network, to)
		return err
	})
	return c, err
}
