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
	tcp  *acceptor   // among open; nil: no port of TCP is
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
		errs = append(errs, s.held.forward(p, fds[i]))
	}
	return errors.Join(errs...)
}

// forward begins to serve p's socket, which is h's, also after an error.
func (h *holding) forward(p streams.Port, fd int) error {
	if p.UDP {
		return h.forwardUDP(p, fd)
	}
	if h.tcp == nil {
		a, err := newAcceptor()
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		h.tcp, h.open = a, append(h.open, a)
		h.work.Go(func() { a.run(h.ctx) })
	}
	return h.tcp.add(fd, p.To)
}

func (h *holding) forwardUDP(p streams.Port, fd int) error {
	f := os.NewFile(uintptr(fd), "port")
	defer f.Close() // net has its own copy
	// The answer must come from the address that was asked.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
		return err
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return err
	}
	h.open = append(h.open, c)
	h.work.Go(func() { forwardUDP(h.ctx, c.(*net.UDPConn), p.To) })
	return nil
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
