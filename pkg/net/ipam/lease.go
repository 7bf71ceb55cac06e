// Package ipam gives out the addresses of container networks and chooses
// subnets for them.
//
// A lease is one entry in the network's folder, named after the address. It is
// a symbolic link whose target is the owner: making a link is a single system
// call that either creates the lease together with its owner or fails with
// EEXIST, so that a lease is never seen half written, whatever dies when, and
// processes that share a folder need no lock.
package ipam

import (
	"container/heap"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// Owner names who holds a lease: a container's ID and the interface in it.
type Owner struct{ ID, IfName string }

func (o Owner) String() string { return o.ID + "/" + o.IfName }

func parseOwner(s string) Owner {
	id, ifName, _ := strings.Cut(s, "/")
	return Owner{id, ifName}
}

// Config describes one subnet of a network.
type Config struct {
	Dir      string       // leases are kept here; made on the first lease
	Subnet   netip.Prefix // network address and length
	Range    netip.Prefix // dynamic addresses come from here; zero is the whole subnet
	Reserved []netip.Addr // never given out: the gateway, auxiliary addresses
}

// Pool gives out the addresses of one subnet, the lowest free one first as
// Docker does. The cost of an address does not depend on how many are leased.
type Pool struct {
	cfg         Config
	first, last netip.Addr // dynamic addresses, both included
	reserved    map[netip.Addr]bool

	mu     sync.Mutex // guards what follows; held while a lease is made or dropped (one system call)
	loaded bool
	owners map[netip.Addr]Owner
	next   netip.Addr // every address below it was given out at some time
	freed  addrHeap   // of those, the ones that came back
}

// New checks c and returns its pool. Nothing is read before the first use.
func New(c Config) (*Pool, error) {
	if !c.Subnet.IsValid() || c.Subnet != c.Subnet.Masked() {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid subnet %s", c.Subnet))
	}
	if !c.Range.IsValid() {
		c.Range = c.Subnet
	}
	if !c.Subnet.Contains(c.Range.Addr()) || c.Range.Bits() < c.Subnet.Bits() {
		return nil, errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("invalid ip-range %s: not inside subnet %s", c.Range, c.Subnet))
	}
	p := &Pool{cfg: c, reserved: map[netip.Addr]bool{}, owners: map[netip.Addr]Owner{}}
	for _, a := range c.Reserved {
		p.reserved[a] = true
	}
	p.first, p.last = c.Range.Masked().Addr(), lastAddr(c.Range)
	p.next = p.first
	for _, a := range []netip.Addr{c.Subnet.Addr(), lastAddr(c.Subnet)} {
		if !Usable(c.Subnet, a) {
			p.reserved[a] = true
		}
	}
	return p, nil
}

// Lease gives owner the address want, or the lowest free one if want is zero.
// AlreadyExists when want is leased, OutOfRange when it is not of the subnet,
// ResourceExhausted when nothing is free.
func (p *Pool) Lease(want netip.Addr, owner Owner) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.loadLocked(); err != nil {
		return netip.Addr{}, err
	}
	if want.IsValid() {
		return want, p.leaseStaticLocked(want, owner)
	}
	for {
		a, ok := p.candidateLocked()
		if !ok {
			return netip.Addr{}, errdefs.ErrResourceExhausted.WithMessage(
				"no available IPv" + version(p.first) + " addresses on this network's address pools: " + p.cfg.Range.String())
		}
		err := p.writeLocked(a, owner)
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			p.putBackLocked(a)
			return netip.Addr{}, err
		}
		// Another process leased it since we read the folder.
		p.owners[a] = p.readOwner(a)
	}
}

func (p *Pool) leaseStaticLocked(want netip.Addr, owner Owner) error {
	if !p.cfg.Subnet.Contains(want) {
		return errdefs.ErrOutOfRange.WithMessage(
			fmt.Sprintf("no configured subnet contains IP address %s", want))
	}
	if p.reserved[want] {
		return errdefs.ErrAlreadyExists.WithMessage("Address already in use")
	}
	err := p.writeLocked(want, owner)
	if errors.Is(err, fs.ErrExist) {
		p.owners[want] = p.readOwner(want)
		return errdefs.ErrAlreadyExists.WithMessage("Address already in use")
	}
	return err
}

// candidateLocked takes the lowest address that nobody is known to hold.
func (p *Pool) candidateLocked() (netip.Addr, bool) {
	for len(p.freed) > 0 {
		a := heap.Pop(&p.freed).(netip.Addr)
		if _, taken := p.owners[a]; !taken {
			return a, true
		}
	}
	for p.next.IsValid() && p.next.Compare(p.last) <= 0 {
		a := p.next
		p.next = a.Next()
		if _, taken := p.owners[a]; !taken && !p.reserved[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// putBackLocked makes a dynamic address a candidate again.
func (p *Pool) putBackLocked(a netip.Addr) {
	if p.reserved[a] || a.Compare(p.first) < 0 || p.next.IsValid() && a.Compare(p.next) >= 0 || a.Compare(p.last) > 0 {
		return
	}
	heap.Push(&p.freed, a)
}

// Release drops the lease of a if owner holds it. An absent lease is no error.
func (p *Pool) Release(a netip.Addr, owner Owner) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readOwner(a) != owner {
		return nil
	}
	if err := os.Remove(p.path(a)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if p.loaded {
		delete(p.owners, a)
		p.putBackLocked(a)
	}
	return nil
}

// ReleaseIf drops the leases whose owner satisfies drop. It reads the folder,
// so that leases of other processes and of earlier ones are seen.
func (p *Pool) ReleaseIf(drop func(Owner) bool) error {
	p.mu.Lock()
	p.loaded = false
	err := p.loadLocked()
	held := make(map[netip.Addr]Owner, len(p.owners))
	for a, o := range p.owners {
		held[a] = o
	}
	p.mu.Unlock()
	for a, o := range held {
		if drop(o) {
			err = errors.Join(err, p.Release(a, o))
		}
	}
	return err
}

// Holds says whether owner has a lease. It reads the folder as ReleaseIf does.
func (p *Pool) Holds(owner Owner) (bool, error) {
	held := false
	err := p.ReleaseIf(func(o Owner) bool {
		held = held || o == owner
		return false
	})
	return held, err
}

// Usage returns how many addresses of the subnet are leased or reserved, and
// how many dynamic ones are left; both end at 2^64-1.
func (p *Pool) Usage() (inUse, available uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.loadLocked() // a folder that cannot be read has nothing to count
	dynamic := uint64(0)
	for a := range p.owners {
		if p.cfg.Range.Contains(a) {
			dynamic++
		}
	}
	for a := range p.reserved {
		if p.cfg.Range.Contains(a) {
			dynamic++
		}
	}
	inUse = uint64(len(p.owners) + len(p.reserved))
	host := p.first.BitLen() - p.cfg.Range.Bits()
	if host > 64 || host == 64 && dynamic == 0 {
		return inUse, math.MaxUint64
	}
	return inUse, 1<<host - dynamic // of 2^64, too: the 1 is shifted out
}

// loadLocked reads the folder once. Entries that are no address of ours are
// left alone.
func (p *Pool) loadLocked() error {
	if p.loaded {
		return nil
	}
	entries, err := os.ReadDir(p.cfg.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	clear(p.owners)
	p.freed, p.next = nil, p.first
	for _, e := range entries {
		if a, err := netip.ParseAddr(e.Name()); err == nil && p.cfg.Subnet.Contains(a) {
			p.owners[a] = p.readOwner(a)
		}
	}
	p.loaded = true
	return nil
}

func (p *Pool) writeLocked(a netip.Addr, owner Owner) error {
	err := os.Symlink(owner.String(), p.path(a))
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(p.cfg.Dir, 0o700); err == nil {
			err = os.Symlink(owner.String(), p.path(a))
		}
	}
	if err == nil {
		p.owners[a] = owner
	}
	return err
}

func (p *Pool) readOwner(a netip.Addr) Owner {
	target, _ := os.Readlink(p.path(a)) // gone meanwhile: nobody's
	return parseOwner(target)
}

func (p *Pool) path(a netip.Addr) string { return filepath.Join(p.cfg.Dir, a.String()) }

func version(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// lastAddr is the highest address of p: IPv4's broadcast address.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// addrHeap is a container/heap with the lowest address on top.
type addrHeap []netip.Addr

func (h addrHeap) Len() int           { return len(h) }
func (h addrHeap) Less(i, j int) bool { return h[i].Less(h[j]) }
func (h addrHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *addrHeap) Push(x any)        { *h = append(*h, x.(netip.Addr)) }
func (h *addrHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
