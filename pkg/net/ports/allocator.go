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
	sockets  []socket
	loose    int // ports without a socket, for want of files
}

// socket holds a binding's port.
type socket struct {
	fd int
	at Binding
}

// NewAllocator returns one in which nothing is taken.
func NewAllocator(log *slog.Logger) *Allocator {
	return &Allocator{log: log, most: mostSockets(), taken: map[protoPort]map[netip.Addr]string{}, held: map[string]*holding{}}
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

// Restore takes what owner had before this process began; elsewhere says that
// another process has the sockets. A port that a program of the host has taken
// since stays published: the container came first, and the firewall comes before
// the socket. What owner's ports are held by here already, holds them on.
func (a *Allocator) Restore(owner, label string, bindings []Binding, elsewhere bool) {
	a.mu.Lock()
	have := a.held[owner]
	a.mu.Unlock()
	if have != nil && len(have.sockets) > 0 {
		return
	}
	h := &holding{bindings: bindings}
	for _, b := range bindings {
		proto, err := Protocol(b.Container.Proto())
		if err != nil || b.Host.Port() == 0 {
			continue
		}
		a.mu.Lock()
		a.takeLocked(protoPort{proto, b.Host.Port()}, b.Host.Addr(), label)
		a.mu.Unlock()
	}
	if !elsewhere {
		a.open(h, func(b Binding, err error) bool {
			a.log.Warn("a published port is used by another program as well",
				"container", owner, "port", b.Host.String(), "error", err)
			return true
		})
	}
	a.keep(owner, h)
}

// HandOver gives the sockets of owner to another process: those are closed here
// when give, which is told what each of them holds, succeeds.
func (a *Allocator) HandOver(owner string, give func([]Binding, []int) error) error {
	a.mu.Lock()
	h := a.held[owner]
	a.mu.Unlock()
	if h == nil || len(h.sockets) == 0 {
		return nil
	}
	bindings, fds := make([]Binding, len(h.sockets)), make([]int, len(h.sockets))
	for i, s := range h.sockets {
		bindings[i], fds[i] = s.at, s.fd
	}
	if err := give(bindings, fds); err != nil {
		return err
	}
	a.mu.Lock()
	a.held[owner] = &holding{bindings: h.bindings}
	a.mu.Unlock()
	a.closeAll(h.sockets)
	return nil
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
	var err error
	for _, ip := range r.HostIPs {
		if err == nil {
			err = a.take(&got, label, r.Container, proto, netip.AddrPortFrom(ip, port))
		}
	}
	if err == nil {
		a.open(&got, func(b Binding, failed error) bool {
			err = &bindError{host: b.Host, proto: proto, what: string(r.Container.Proto()), err: failed}
			return false
		})
	}
	if err != nil {
		a.drop(&got)
		return err
	}
	h.bindings, h.sockets = append(h.bindings, got.bindings...), append(h.sockets, got.sockets...)
	h.loose += got.loose
	return nil
}

// take adds host to h, without a socket.
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
	a.closeAll(h.sockets)
	for _, b := range h.bindings {
		if proto, err := Protocol(b.Container.Proto()); err == nil {
			a.giveBack(protoPort{proto, b.Host.Port()}, b.Host.Addr())
		}
	}
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
