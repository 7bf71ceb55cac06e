// Package firewall keeps one nftables table that belongs to us: address
// translation for containers, published ports, and who may reach whom.
//
// The rules are fixed; everything that varies is an element of a set or map, so
// that a packet's way through them and the cost of a change are the same for
// one container and for thousands. Each change is one netlink transaction. The
// wanted state is held in memory: when someone else deletes a part of the table
// it is put back.
package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/containerd/errdefs"
)

// Network is a bridge and what may happen on it.
type Network struct {
	Bridge     string
	Subnets    []netip.Prefix
	Masquerade bool         // containers leave the host with its address:
	Source     []netip.Addr // with this one of the family, or else the outgoing interface's
	ICC        bool         // containers of the bridge reach each other
	Internal   bool         // nothing is forwarded to or from elsewhere

	// Who else may send to the containers' own addresses, by family.
	Access4, Access6 Access
	// Trusted are interfaces from which AccessPublished holds in any case.
	Trusted []string
}

// Access is what is let in that the host has not translated.
type Access string

const (
	AccessNone      Access = ""          // nothing
	AccessPublished Access = "published" // published ports, but not for other networks of ours
	AccessRouted    Access = "routed"    // published ports, and ICMP
	AccessAll       Access = "all"       // everything, but not from other networks of ours
)

// access is n's for the family of a.
func (n Network) access(a netip.Addr) Access {
	if a.Is4() {
		return n.Access4
	}
	return n.Access6
}

// opens says whether published ports of the containers' addresses must be known
// by these.
func (n Network) opens(a netip.Addr) bool {
	acc := n.access(a)
	return acc == AccessPublished || acc == AccessRouted || acc == AccessNone && len(n.Trusted) > 0
}

// Mapping is a published port of a container.
type Mapping struct {
	Proto uint8 // IPPROTO_TCP, _UDP or _SCTP
	// Host is the host's port, whose traffic is sent to the container; an
	// unspecified address is each of the host's. The zero value is none: the port
	// is reached at the container's own address, where its network lets it be.
	Host netip.AddrPort
	To   netip.AddrPort // of the same family
	// Link says that it is not published, but open to one neighbour.
	Link Link
}

// Link is a container that reaches a port of another on its bridge whatever the
// network's containers may else. It is of IPv4, as the default network is, which
// alone has links.
type Link struct {
	Bridge string
	From   netip.Addr
}

// hostKey is what must be unique among all mappings.
type hostKey struct {
	proto uint8
	host  netip.AddrPort
	to    netip.AddrPort // without a port of the host
	link  Link
}

func (m Mapping) key() hostKey {
	if m.direct() {
		return hostKey{proto: m.Proto, to: m.To, link: m.Link}
	}
	return hostKey{proto: m.Proto, host: m.Host}
}

// direct: the host has no part in it.
func (m Mapping) direct() bool { return m.Host == netip.AddrPort{} }

// expand adds what makes published ports reachable at the containers' own
// addresses, in networks that let them be.
func (s state) expand(all []Mapping) []Mapping {
	out := make([]Mapping, 0, len(all))
	known := map[Mapping]bool{}
	var n Network
	var of netip.Addr
	for _, m := range all {
		if a := m.To.Addr(); a != of {
			n, of = s.networkOf(a), a
		}
		if !m.direct() || m.Link != (Link{}) {
			out = append(out, m)
		}
		if m.Link != (Link{}) {
			continue
		}
		d := Mapping{Proto: m.Proto, To: m.To}
		if (m.direct() || n.opens(of)) && !known[d] {
			out, known[d] = append(out, d), true
		}
	}
	return out
}

// without leaves out what owner has.
func (s state) without(owner string, all []Mapping) []Mapping {
	has := map[Mapping]bool{}
	for _, m := range s.published[owner] {
		has[m] = true
	}
	return slices.DeleteFunc(all, func(m Mapping) bool { return has[m] })
}

// networkOf is the one that a is an address of, the zero value if none is.
func (s state) networkOf(a netip.Addr) Network {
	for _, n := range s.networks {
		for _, subnet := range n.Subnets {
			if subnet.Contains(a) {
				return n
			}
		}
	}
	return Network{}
}

func (m Mapping) validate() error {
	a, b := m.Host.Addr(), m.To.Addr()
	translated := a.IsValid() && a.Is4() == b.Is4() && m.Host.Port() != 0
	linked := m.Link == Link{} || m.direct() && m.Link.Bridge != "" && m.Link.From.Is4() && b.Is4()
	if !b.IsValid() || m.To.Port() == 0 || !translated && !m.direct() || !linked {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port mapping %s to %s", m.Host, m.To))
	}
	return nil
}

// state is what the table is to contain. The owner goroutine of the Table has
// it to itself.
type state struct {
	networks  map[string]Network   // by bridge
	published map[string][]Mapping // by owner
	owners    map[hostKey]string
	closed    map[byte]bool // NFPROTO_*: forwarded for our networks alone
}

func newState() state {
	return state{map[string]Network{}, map[string][]Mapping{}, map[hostKey]string{}, map[byte]bool{}}
}

// delta is a change of state, and of the kernel's elements.
type delta struct {
	addNet, delNet *Network
	owner          string // of add or del
	add, del       []Mapping
}

func (s state) conflict(d delta) error {
	for _, m := range d.add {
		if err := m.validate(); err != nil {
			return err
		}
		if o, taken := s.owners[m.key()]; taken && o != d.owner {
			return errdefs.ErrAlreadyExists.WithMessage(
				fmt.Sprintf("Bind for %s failed: port is already allocated", m.Host))
		}
	}
	return nil
}

func (s state) apply(d delta) {
	if d.delNet != nil {
		delete(s.networks, d.delNet.Bridge)
	}
	if d.addNet != nil {
		s.networks[d.addNet.Bridge] = *d.addNet
	}
	if len(d.del) > 0 {
		for _, m := range d.del {
			delete(s.owners, m.key())
		}
		s.published[d.owner] = slices.DeleteFunc(slices.Clone(s.published[d.owner]), func(m Mapping) bool {
			_, kept := s.owners[m.key()]
			return !kept
		})
		if len(s.published[d.owner]) == 0 {
			delete(s.published, d.owner)
		}
	}
	for _, m := range d.add {
		s.owners[m.key()] = d.owner
	}
	if len(d.add) > 0 {
		s.published[d.owner] = slices.Concat(s.published[d.owner], d.add)
	}
}

// revert undoes apply.
func (s state) revert(d delta) {
	s.apply(delta{addNet: d.delNet, delNet: d.addNet, owner: d.owner, add: d.del, del: d.add})
}
