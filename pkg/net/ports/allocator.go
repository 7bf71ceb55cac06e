package ports

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Allocator knows which host ports are taken, and by whom.
type Allocator struct {
	log *slog.Logger

	mu    sync.Mutex // guards what follows; not held over system calls
	taken map[protoPort]map[netip.Addr]string
	next  uint16 // where the search for a port to choose goes on
	held  map[string]*holding
}

type protoPort struct {
	proto byte
	port  uint16
}

// holding is what one owner has.
type holding struct {
	bindings []Binding
	sockets  []int
}

// NewAllocator returns one in which nothing is taken.
func NewAllocator(log *slog.Logger) *Allocator {
	return &Allocator{log: log, taken: map[protoPort]map[netip.Addr]string{}, held: map[string]*holding{}}
}

// Bind grants all requests to owner or none. label names the owner to people.
// The error, of no class, has Docker's words.
func (a *Allocator) Bind(owner, label string, requests []Request) ([]Binding, error) {
	first, last := ephemeral()
	h := &holding{}
	for _, r := range requests {
		b, fd, err := a.bindOne(label, r, first, last)
		if err != nil {
			a.drop(h)
			return nil, err
		}
		h.bindings, h.sockets = append(h.bindings, b), append(h.sockets, fd)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[owner] = h
	return h.bindings, nil
}

// Restore takes what owner had before this process began. A port that a
// program of the host has taken since stays published: the container came
// first, and the firewall comes before the socket.
func (a *Allocator) Restore(owner, label string, bindings []Binding) {
	h := &holding{bindings: bindings}
	for _, b := range bindings {
		proto, err := Protocol(b.Container.Proto())
		if err != nil {
			continue
		}
		a.mu.Lock()
		a.takeLocked(protoPort{proto, b.Host.Port()}, b.Host.Addr(), label)
		a.mu.Unlock()
		fd, err := hold(proto, b.Host)
		if err != nil {
			a.log.Warn("a published port is used by another program as well",
				"container", owner, "port", b.Host.String(), "error", err)
			fd = -1
		}
		h.sockets = append(h.sockets, fd)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[owner] = h
}

// Release gives back what owner has. Nothing is no error.
func (a *Allocator) Release(owner string) {
	a.mu.Lock()
	h := a.held[owner]
	delete(a.held, owner)
	a.mu.Unlock()
	if h != nil {
		a.drop(h)
	}
}

// Close lets all sockets go.
func (a *Allocator) Close() {
	a.mu.Lock()
	held := a.held
	a.held = map[string]*holding{}
	a.mu.Unlock()
	for _, h := range held {
		a.drop(h)
	}
}

func (a *Allocator) bindOne(label string, r Request, first, last uint16) (Binding, int, error) {
	proto, err := Protocol(r.Container.Proto())
	if err != nil {
		return Binding{}, -1, err
	}
	if r.First != 0 && r.First == r.Last {
		return a.try(label, r, proto, r.First)
	}
	start := r.First
	if r.First == 0 {
		r.First, r.Last = first, last
		start = a.cursor(first, last)
	}
	size := int(r.Last) - int(r.First) + 1
	err = errors.New("no port is left")
	for i := range size {
		port := r.First + uint16((int(start-r.First)+i)%size)
		b, fd, tryErr := a.try(label, r, proto, port)
		if tryErr == nil {
			return b, fd, nil
		}
		if err = tryErr; errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EACCES) {
			break // no port of this address will do
		}
	}
	return Binding{}, -1, err
}

// cursor returns where to begin to look for a port of the engine's choice:
// behind the last one, so that a port is not used again at once.
func (a *Allocator) cursor(first, last uint16) uint16 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next < first || a.next > last {
		a.next = first
	}
	c := a.next
	a.next++ // wraps to 0 after 65535, which is below first
	return c
}

func (a *Allocator) try(label string, r Request, proto byte, port uint16) (Binding, int, error) {
	host := netip.AddrPortFrom(r.HostIP, port)
	key := protoPort{proto, port}
	a.mu.Lock()
	holder, busy := a.holderLocked(key, r.HostIP)
	if !busy {
		a.takeLocked(key, r.HostIP, label)
	}
	a.mu.Unlock()
	if busy {
		return Binding{}, -1, errdefs.ErrUnknown.WithMessage(fmt.Sprintf(
			"Bind for %s failed: port is already allocated (port %d is held by container %s)", host, port, holder))
	}
	fd, err := hold(proto, host)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		a.log.Warn("no socket holds a published port: too many are open", "port", host.String())
		err = nil
	}
	if err != nil {
		a.giveBack(key, r.HostIP)
		return Binding{}, -1, fmt.Errorf("failed to bind host port %s/%s: %w", host, r.Container.Proto(), err)
	}
	return Binding{Container: r.Container, Host: host}, fd, nil
}

// holderLocked: an address and "all addresses" of the same family exclude
// each other.
func (a *Allocator) holderLocked(key protoPort, ip netip.Addr) (string, bool) {
	for have, label := range a.taken[key] {
		if have.Is4() == ip.Is4() && (have == ip || have.IsUnspecified() || ip.IsUnspecified()) {
			return label, true
		}
	}
	return "", false
}

func (a *Allocator) takeLocked(key protoPort, ip netip.Addr, label string) {
	if a.taken[key] == nil {
		a.taken[key] = map[netip.Addr]string{}
	}
	a.taken[key][ip] = label
}

func (a *Allocator) giveBack(key protoPort, ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.taken[key], ip)
	if len(a.taken[key]) == 0 {
		delete(a.taken, key)
	}
}

// drop closes the sockets before the ports may be granted again.
func (a *Allocator) drop(h *holding) {
	for _, fd := range h.sockets {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing was written
		}
	}
	for _, b := range h.bindings {
		if proto, err := Protocol(b.Container.Proto()); err == nil {
			a.giveBack(protoPort{proto, b.Host.Port()}, b.Host.Addr())
		}
	}
}

// hold binds a socket to host, and for TCP listens: only then is the port
// refused to others that set SO_REUSEADDR, which nearly all servers do. -1
// without an error when the kernel does not speak the protocol.
func hold(proto byte, host netip.AddrPort) (int, error) {
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
	if err = configure(fd, family, proto); err == nil {
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

func configure(fd, family int, proto byte) error {
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
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

// ephemeral is the range that the kernel, and so the engine, chooses ports of.
func ephemeral() (first, last uint16) {
	const first0, last0 = 32768, 60999 // the kernel's default
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	f := strings.Fields(string(b))
	if err != nil || len(f) != 2 {
		return first0, last0
	}
	lo, errLo := strconv.ParseUint(f[0], 10, 16)
	hi, errHi := strconv.ParseUint(f[1], 10, 16)
	if errLo != nil || errHi != nil || lo == 0 || lo > hi {
		return first0, last0
	}
	return uint16(lo), uint16(hi)
}
