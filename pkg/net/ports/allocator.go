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
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// Allocator knows which host ports are taken, and by whom.
type Allocator struct {
	log     *slog.Logger
	most    int64 // sockets
	sockets atomic.Int64

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
	loose    int // ports without a socket, for want of files
}

// NewAllocator returns one in which nothing is taken.
func NewAllocator(log *slog.Logger) *Allocator {
	return &Allocator{log: log, most: mostSockets(), taken: map[protoPort]map[netip.Addr]string{}, held: map[string]*holding{}}
}

// mostSockets leaves half of the files that this process may open to the rest
// of it.
func mostSockets() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return int64(min(limit.Cur, 1<<20) / 2)
}

// Bind grants all requests to owner or none. label names the owner to people.
// The error, of no class, has Docker's words.
func (a *Allocator) Bind(owner, label string, requests []Request) ([]Binding, error) {
	first, last := ephemeral()
	h := &holding{}
	for _, r := range requests {
		if err := a.bindOne(h, label, r, first, last); err != nil {
			a.drop(h)
			return nil, name(err)
		}
	}
	a.keep(owner, h)
	return h.bindings, nil
}

// keep ends what Bind and Restore do.
func (a *Allocator) keep(owner string, h *holding) {
	if h.loose > 0 {
		a.log.Warn("sockets do not hold all published ports: too many files are open", "container", owner, "ports", h.loose)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[owner] = h
}

// Restore takes what owner had before this process began. A port that a
// program of the host has taken since stays published: the container came
// first, and the firewall comes before the socket.
func (a *Allocator) Restore(owner, label string, bindings []Binding) {
	h := &holding{bindings: bindings}
	for _, b := range bindings {
		proto, err := Protocol(b.Container.Proto())
		if err != nil || b.Host.Port() == 0 {
			continue
		}
		a.mu.Lock()
		a.takeLocked(protoPort{proto, b.Host.Port()}, b.Host.Addr(), label)
		a.mu.Unlock()
		if err := a.socket(h, proto, b.Host); err != nil {
			a.log.Warn("a published port is used by another program as well",
				"container", owner, "port", b.Host.String(), "error", err)
		}
	}
	a.keep(owner, h)
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

// bindOne adds what r gets to h.
func (a *Allocator) bindOne(h *holding, label string, r Request, first, last uint16) error {
	proto, err := Protocol(r.Container.Proto())
	if err != nil {
		return err
	}
	if r.First != 0 && r.First == r.Last {
		return a.try(h, label, r, proto, r.First)
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
		if err = a.try(h, label, r, proto, port); err == nil {
			return nil
		}
		if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EACCES) {
			break // no port of this address will do
		}
	}
	return err
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

// try adds port at all of r's addresses to h, or at none.
func (a *Allocator) try(h *holding, label string, r Request, proto byte, port uint16) error {
	var got holding
	for _, ip := range r.HostIPs {
		host := netip.AddrPortFrom(ip, port)
		if err := a.take(&got, label, r.Container, proto, host); err != nil {
			a.drop(&got)
			return err
		}
	}
	h.bindings, h.sockets = append(h.bindings, got.bindings...), append(h.sockets, got.sockets...)
	h.loose += got.loose
	return nil
}

func (a *Allocator) take(h *holding, label string, container network.Port, proto byte, host netip.AddrPort) error {
	key := protoPort{proto, host.Port()}
	a.mu.Lock()
	holder, busy := a.holderLocked(key, host.Addr())
	if !busy {
		a.takeLocked(key, host.Addr(), label)
	}
	a.mu.Unlock()
	if busy {
		return errdefs.ErrUnknown.WithMessage(fmt.Sprintf(
			"Bind for %s failed: port is already allocated (port %d is held by container %s)", host, host.Port(), holder))
	}
	h.bindings = append(h.bindings, Binding{Container: container, Host: host})
	if err := a.socket(h, proto, host); err != nil {
		return &bindError{host: host, proto: proto, what: string(container.Proto()), err: err}
	}
	return nil
}

// bindError is a port that the kernel refused.
type bindError struct {
	host    netip.AddrPort
	proto   byte
	what    string
	program string // that has it, if known
	err     error
}

func (e *bindError) Error() string {
	return fmt.Sprintf("failed to bind host port %s/%s: %v%s", e.host, e.what, e.err, e.program)
}

func (e *bindError) Unwrap() error { return e.err }

// name adds to an error that will be shown what program has the port. That takes
// a look at every process.
func name(err error) error {
	var e *bindError
	if errors.As(err, &e) && errors.Is(err, unix.EADDRINUSE) {
		e.program = program(e.proto, e.host)
	}
	return err
}

// socket adds one that holds host to h. Where files would run short, so that
// the daemon could not work any more, a port is without.
func (a *Allocator) socket(h *holding, proto byte, host netip.AddrPort) error {
	if a.sockets.Add(1) > a.most {
		a.sockets.Add(-1)
		h.loose++
		return inUse(proto, host)
	}
	fd, err := hold(proto, host)
	if err != nil || fd < 0 {
		a.sockets.Add(-1)
	}
	switch {
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		h.loose++
		return nil
	case err == nil && fd >= 0:
		h.sockets = append(h.sockets, fd)
	}
	return err
}

// inUse looks whether host can be had, without keeping it.
func inUse(proto byte, host netip.AddrPort) error {
	fd, err := hold(proto, host)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return nil
	}
	if fd >= 0 {
		_ = unix.Close(fd)
	}
	return err
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
		_ = unix.Close(fd) // nothing was written
		a.sockets.Add(-1)
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
