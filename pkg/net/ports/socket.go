package ports

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// mostSockets leaves half of the files that this process may open to the rest
// of it.
func mostSockets() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return int64(min(limit.Cur, 1<<20) / 2)
}

// open holds the ports of h by sockets. failed is told of each that cannot be had,
// and says whether to go on. All addresses of IPv4 and of IPv6 share a socket where
// both are wanted: a thousand ports are a thousand files.
func (a *Allocator) open(h *holding, failed func(Binding, error) bool) {
	const four, six = 1, 2
	wild := map[protoPort]int{} // the IP versions of which all addresses are wanted
	for _, b := range h.bindings {
		switch b.Host.Addr() {
		case netip.IPv4Unspecified():
			wild[keyOf(b)] |= four
		case netip.IPv6Unspecified():
			wild[keyOf(b)] |= six
		}
	}
	for _, b := range h.bindings {
		if b.Host.Addr() == netip.IPv6Unspecified() && wild[keyOf(b)] == four|six && b.Host.Port() != 0 {
			// Which of the two somebody else has is found out by each alone.
			if a.socket(h, b, true) == nil {
				wild[keyOf(b)] = 0
			}
		}
	}
	for _, b := range h.bindings {
		if b.Host.Port() == 0 || b.Host.Addr().IsUnspecified() && wild[keyOf(b)] == 0 {
			continue
		}
		if err := a.socket(h, b, false); err != nil && !failed(b, err) {
			return
		}
	}
}

// keyOf is the port of a binding, whose protocol is one that can be published.
func keyOf(b Binding) protoPort {
	proto, _ := Protocol(b.Container.Proto())
	return protoPort{proto, b.Host.Port()}
}

// socket adds one that holds b's port to h, of both IP versions or one. Where files
// would run short, so that the daemon could not work any more, a port is without.
func (a *Allocator) socket(h *holding, b Binding, both bool) error {
	proto := keyOf(b).proto
	if a.sockets.Add(1) > a.most {
		a.sockets.Add(-1)
		err := inUse(proto, b.Host, both)
		if err == nil {
			h.loose++
		}
		return err
	}
	fd, err := hold(proto, b.Host, both)
	if err != nil || fd < 0 {
		a.sockets.Add(-1)
	}
	switch {
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		h.loose++
		return nil
	case err == nil && fd >= 0:
		h.sockets = append(h.sockets, socket{fd, b})
	}
	return err
}

// inUse looks whether host can be had, without keeping it.
func inUse(proto byte, host netip.AddrPort, both bool) error {
	fd, err := hold(proto, host, both)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return nil
	}
	if fd >= 0 {
		_ = unix.Close(fd)
	}
	return err
}

func (a *Allocator) closeAll(sockets []socket) {
	for _, s := range sockets {
		_ = unix.Close(s.fd) // nothing was written
		a.sockets.Add(-1)
	}
}

// hold binds a socket to host, and for TCP listens: only then is the port
// refused to others that set SO_REUSEADDR, which nearly all servers do. With both,
// host is all addresses of IPv6, and those of IPv4 are held as well. -1 without an
// error when the kernel does not speak the protocol.
func hold(proto byte, host netip.AddrPort, both bool) (int, error) {
	family, typ := unix.AF_INET, unix.SOCK_STREAM
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(host.Port()), Addr: as4(host.Addr())}
	if host.Addr().Is6() {
		family = unix.AF_INET6
		sa = &unix.SockaddrInet6{Port: int(host.Port()), Addr: host.Addr().As16()}
	}
	if proto == unix.IPPROTO_UDP {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(proto))
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if err = configure(fd, family, proto, both); err == nil {
		err = unix.Bind(fd, sa)
	}
	if err == nil && proto == unix.IPPROTO_TCP {
		err = unix.Listen(fd, 0)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func configure(fd, family int, proto byte, both bool) error {
	if family == unix.AF_INET6 {
		only := 1
		if both {
			only = 0
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return err
		}
	}
	if proto == unix.IPPROTO_TCP {
		// Connections of the port's last user that linger (TIME_WAIT) do not count.
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	return nil
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}
