package published

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptor serves the listening sockets of a container: all by one goroutine and one
// epoll instance, since a container may have thousands of ports that hardly anybody
// comes by, and each listener of package net costs a start some 50 µs and 4 KiB.
type acceptor struct {
	epoll *os.File // which Go's own poller waits for

	mu sync.Mutex // guards to
	to map[int]netip.AddrPort
}

func newAcceptor() (*acceptor, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &acceptor{epoll: os.NewFile(uintptr(fd), "epoll"), to: map[int]netip.AddrPort{}}, nil
}

// add has what comes to a socket sent to a destination. The socket is the
// acceptor's, also after an error.
func (a *acceptor) add(fd int, to netip.AddrPort) error {
	// berthd made it with a queue for nobody.
	err := errors.Join(unix.SetNonblock(fd, true), unix.Listen(fd, unix.SOMAXCONN))
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	a.mu.Lock()
	a.to[fd] = to
	a.mu.Unlock()
	return a.control(func(epoll int) error {
		return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	})
}

func (a *acceptor) control(f func(epoll int) error) error {
	raw, err := a.epoll.SyscallConn()
	if err != nil {
		return err
	}
	done := raw.Control(func(fd uintptr) { err = f(int(fd)) })
	return errors.Join(done, err)
}

// run serves until Close, and returns when all connections have ended; ctx ends
// them.
func (a *acceptor) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	raw, err := a.epoll.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		for _, e := range events[:n] {
			if !a.accept(ctx, int(e.Fd), &work) {
				select {
				case <-time.After(retry):
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

// accept takes one connection; false says that it could not, for want of files or
// memory.
func (a *acceptor) accept(ctx context.Context, fd int, work *sync.WaitGroup) bool {
	// Under the lock, so that the number is still the socket's. It does not wait.
	a.mu.Lock()
	to, ok := a.to[fd]
	var conn int
	var err error
	if ok {
		conn, _, err = unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	}
	a.mu.Unlock()
	if !ok || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(conn), "connection")
	c, err := net.FileConn(f)
	_ = f.Close() // net has its own copy
	if err != nil {
		return false
	}
	work.Go(func() { join(ctx, c.(*net.TCPConn), to) })
	return true
}

// Close lets the sockets go.
func (a *acceptor) Close() error {
	err := a.epoll.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	for fd := range a.to {
		_ = unix.Close(fd)
	}
	clear(a.to)
	return err
}
