package net

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/moby/moby/api/types/network"
)

// linker opens ports between two containers of the default network where its
// containers do not reach each other otherwise (Docker's --link with --icc=false).
//
// A pair is open while both records say so. Whoever changes one writes it first and
// then looks at the pair; whoever opens one looks again. So nothing is open in the
// end that should not be, without anybody waiting for another.
type linker struct {
	networks  *registry
	sandboxes *sandbox.Store
	firewall  *firewall.Table
}

// Link lets a running container reach ports of others, by their IDs, and no more
// those that it was linked to before. Those that do not run are reached once they
// do.
func (w *wirer) Link(ctx context.Context, id string, to map[string][]network.Port) error {
	s, err := w.complete(ctx, id)
	if err != nil {
		return err
	}
	linked := s.Copy()
	linked.Links = to
	if err := w.sandboxes.Put(linked); err != nil {
		return err
	}
	for child := range s.Links {
		if err := w.links.close(ctx, pair{id, child}); err != nil {
			return err
		}
	}
	return w.links.open(ctx, id)
}

// pair is a container and one that it links to.
type pair struct{ parent, child string }

// owner is the pair's name in the firewall.
func (p pair) owner() string { return p.parent + ">" + p.child }

// apart is the default network, if its containers are kept apart.
func (l linker) apart() *entry {
	n, ok := l.networks.byExactName(network.NetworkBridge)
	if !ok || n.rules == nil || n.rules.ICC {
		return nil
	}
	return n
}

// pairs are those that container id is of; "" is all.
func (l linker) pairs(id string) (out []pair) {
	if l.apart() == nil {
		return nil
	}
	for _, s := range l.sandboxes.All() {
		for child := range s.Links {
			if id == "" || s.ID == id || child == id {
				out = append(out, pair{s.ID, child})
			}
		}
	}
	return out
}

// mappings are what is open between a pair now.
func (l linker) mappings(p pair) (out []firewall.Mapping) {
	n := l.apart()
	parent, ok := l.sandboxes.Get(p.parent)
	child, running := l.sandboxes.Get(p.child)
	if n == nil || !ok || !running {
		return nil
	}
	from, to := at(parent, n.net.Name), at(child, n.net.Name)
	if !from.IsValid() || !to.IsValid() {
		return nil
	}
	for _, port := range parent.Links[p.child] {
		if proto, err := ports.Protocol(port.Proto()); err == nil {
			out = append(out, firewall.Mapping{Proto: proto, To: netip.AddrPortFrom(to, port.Num()),
				Link: firewall.Link{Bridge: n.bridge.Name, From: from}})
		}
	}
	return out
}

// at is the IPv4 address of s on a network.
func at(s *sandbox.Sandbox, network string) netip.Addr {
	i := s.On(network)
	if i < 0 || !s.Ready || s.Endpoints[i].Pending {
		return netip.Addr{}
	}
	return s.Endpoints[i].Settings.IPAddress
}

// open makes the links of container id, and those to it.
func (l linker) open(ctx context.Context, id string) error {
	for _, p := range l.pairs(id) {
		want := l.mappings(p)
		if len(want) == 0 {
			continue
		}
		if err := l.prepare(); err != nil {
			return err
		}
		if err := l.firewall.Publish(ctx, p.owner(), want); err != nil {
			return fmt.Errorf("opening the ports of a link: %w", err)
		}
		if !slices.Equal(l.mappings(p), want) {
			if err := l.close(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare: where ports of the bridge are isolated, linked containers reach each
// other through the host.
func (l linker) prepare() error {
	if bridge.RulesSeePorts() {
		return nil
	}
	return l.apart().bridge.AnswerForNeighbours()
}

func (l linker) close(ctx context.Context, p pair) error {
	return l.firewall.Unpublish(ctx, p.owner())
}

// part ends the links of s, and those to it, before its address is anybody else's.
// gone says that all of it goes.
func (l linker) part(ctx context.Context, s *sandbox.Sandbox, gone bool) (err error) {
	all := l.pairs(s.ID)
	if len(all) == 0 {
		return nil
	}
	if gone {
		leaving := s.Copy()
		leaving.Ready = false
		if err := l.sandboxes.Put(leaving); err != nil {
			return err
		}
	}
	for _, p := range all {
		if len(l.mappings(p)) == 0 {
			err = errors.Join(err, l.close(ctx, p))
		}
	}
	return err
}
