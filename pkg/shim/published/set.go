// Package published holds ports of the host for a container for as long as its
// shim lives, whether the daemon does or not: no other program can take them.
//
// Traffic of published ports does not come here, the firewall translates it
// before. But the kernel can neither translate from one IP version to another
// nor let ::1 leave its interface: connections and datagrams that come to a
// socket with a destination are forwarded, and then the container sees its
// gateway as the peer, as it does behind dockerd's userland proxy.
package published

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Set is the sockets of one container. The zero value holds none.
type Set struct {
	mu     sync.Mutex // guards what follows
	held   *holding   // nil: none
	closed bool
}

// holding is sockets that are let go together.
type holding struct {
	idle []int       // nothing comes to them
	open []io.Closer // they are forwarded
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// Take adds sockets, which are the set's from then on. Unavailable: the set was
// closed.
func (s *Set) Take(ports []streams.Port, fds []int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		closeAll(fds)
		return errdefs.ErrUnavailable.WithMessage("the container's ports were released")
	}
	if s.held == nil {
		s.held = &holding{}
		s.held.ctx, s.held.stop = context.WithCancel(context.Background())
	}
	var errs []error
	for i, p := range ports {
		if !p.To.IsValid() {
			s.held.idle = append(s.held.idle, fds[i])
			continue
		}
		c, err := s.held.forward(p, fds[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.held.open = append(s.held.open, c)
	}
	return errors.Join(errs...)
}

// forward makes p's socket one of Go's and begins to serve it.
func (h *holding) forward(p streams.Port, fd int) (io.Closer, error) {
	f := os.NewFile(uintptr(fd), "port")
	defer f.Close() // net has its own copy
	ctx, to := h.ctx, p.To
	if p.UDP {
		// The answer must come from the address that was asked.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
			return nil, err
		}
		c, err := net.FilePacketConn(f)
		if err != nil {
			return nil, err
		}
		h.work.Go(func() { forwardUDP(ctx, c.(*net.UDPConn), to) })
		return c, nil
	}
	// berthd made it with a queue for nobody.
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		return nil, err
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	h.work.Go(func() { forwardTCP(ctx, l.(*net.TCPListener), to) })
	return l, nil
}

// Release lets all ports go and ends what is forwarded.
func (s *Set) Release() {
	s.mu.Lock()
	h := s.held
	s.held = nil
	s.mu.Unlock()
	if h == nil {
		return
	}
	closeAll(h.idle)
	for _, c := range h.open {
		_ = c.Close()
	}
	h.stop()
	h.work.Wait()
}

// Close is Release, for good.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Release()
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
