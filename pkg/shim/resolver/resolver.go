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
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

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
	log      *slog.Logger
	ns       *os.File // the container's network namespace
	view     *file[*view]
	upstream *upstream
	slots    chan struct{} // one is held by each query that waits for name servers

	ctx    context.Context // ends with the resolver
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Open starts a resolver if the container is on a network that has names, or
// else has it start when the container is connected to one.
func Open(cfg streams.Names, log *slog.Logger) (_ *Resolver, err error) {
	r := &Resolver{cfg: cfg, log: log, view: viewFile(cfg.View), slots: make(chan struct{}, maxForwarded)}
	if r.ns, err = os.Open(cfg.NetNS); err != nil {
		return nil, fmt.Errorf("names: %w", err)
	}
	r.upstream = newUpstream(cfg.Servers, r.dial)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.needed() {
		return r, r.listen()
	}
	watch, err := newWatch(cfg.View)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(r.ctx, func() { _ = watch.Close() })
	r.wg.Go(func() { r.await(watch) })
	return r, nil
}

// Close ends the resolver. When it returns nothing of it is left in the
// container's network namespace but the redirection.
func (r *Resolver) Close() {
	r.cancel()
	r.wg.Wait()
	r.view.close()
	_ = r.ns.Close()
}

func (r *Resolver) needed() bool {
	v := r.view.get()
	return v != nil && len(v.networks) > 0
}

// await starts the resolver when there are names to answer.
func (r *Resolver) await(w *watch) {
	for w.next() {
		if !r.needed() {
			continue
		}
		if err := r.listen(); err != nil {
			r.log.Error("the container's names are not answered", "error", err)
		}
		_ = w.Close()
		return
	}
}

// listen opens the sockets in the container, at ports of their own so that the
// container's port 53 stays its own, and has packets for 127.0.0.11:53 come to
// them.
func (r *Resolver) listen() error {
	var udp *net.UDPConn
	var tcp *net.TCPListener
	var redirected func() error
	err := netns.In(r.ns, func() (err error) {
		if udp, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(Address, 0))); err != nil {
			return err
		}
		if tcp, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(Address, 0))); err != nil {
			return err
		}
		if err = enlarge(udp); err != nil {
			return err
		}
		redirected, err = redirect(port(udp.LocalAddr()), port(tcp.Addr()))
		return err
	})
	if err != nil {
		if udp != nil {
			_ = udp.Close()
		}
		if tcp != nil {
			_ = tcp.Close()
		}
		return fmt.Errorf("listening for the container's names: %w", err)
	}
	context.AfterFunc(r.ctx, func() { _, _ = udp.Close(), tcp.Close() })
	r.wg.Go(func() { _ = redirected() })
	r.wg.Go(func() { r.serveUDP(udp) })
	r.wg.Go(func() { r.serveTCP(tcp) })
	return nil
}

func port(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// enlarge gives the socket more than net.core.rmem_max, which is for processes
// that are not trusted.
func enlarge(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	}); err != nil {
		return err
	}
	return set
}

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
