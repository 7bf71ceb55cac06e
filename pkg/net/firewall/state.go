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
	Masquerade bool // containers leave the host with its address
	ICC        bool // containers of the bridge reach each other
	Internal   bool // nothing is forwarded to or from elsewhere
}

// Mapping sends what arrives for a port of the host to a container.
type Mapping struct {
	Proto uint8          // IPPROTO_TCP, _UDP or _SCTP
	Host  netip.AddrPort // unspecified address: each of the host's
	To    netip.AddrPort // of the same family
}

// hostKey is what must be unique among all mappings.
type hostKey struct {
	proto uint8
	host  netip.AddrPort
}

func (m Mapping) key() hostKey { return hostKey{m.Proto, m.Host} }

func (m Mapping) validate() error {
	a, b := m.Host.Addr(), m.To.Addr()
	if !a.IsValid() || !b.IsValid() || a.Is4() != b.Is4() || m.Host.Port() == 0 || m.To.Port() == 0 {
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
}

func newState() state {
	return state{map[string]Network{}, map[string][]Mapping{}, map[hostKey]string{}}
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
