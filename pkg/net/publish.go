package net

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"

	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// publisher has the ports of containers granted and held.
type publisher struct {
	networks  *registry
	sandboxes *sandbox.Store
	ports     *ports.Allocator
	hostIP    netip.Addr             // where ports are published that name no address
	holder    func(id string) string // socket of a container's shim; nil: shims hold no ports
	proxy     bool                   // it forwards what the firewall cannot
	log       *slog.Logger
}

// published is what becomes of the ports that a container wants.
type published struct {
	requests []ports.Request // of ports of the host
	direct   []ports.Binding // open at the container's own address, without one
}

// requests are the ports to publish; none where nothing can be, as in the
// host's own namespace.
func (p *publisher) requests(s *sandbox.Sandbox, publish network.PortMap) (published, error) {
	fallback := p.hostIP
	var n *entry
	if first := s.First(); first != nil && first.Outward {
		n, _ = p.networks.byExactName(first.Network)
	}
	if n != nil && n.options.HostIP.IsValid() {
		fallback = n.options.HostIP
	}
	out, err := ports.Parse(publish, fallback)
	if err != nil || len(out) == 0 || n == nil || n.parent != nil { // what is on the wire itself needs no ports of the host's
		return published{}, err
	}
	return p.serve(n, out)
}

// serve leaves out what the network has no addresses for; InvalidArgument where
// that was asked for.
func (p *publisher) serve(n *entry, all []ports.Request) (out published, err error) {
	for _, r := range all {
		asked := r.HostIPs
		r.HostIPs = nil
		for _, ip := range asked {
			switch {
			case n.routes(ip):
				out.direct = append(out.direct, ports.Binding{Container: r.Container, Host: netip.AddrPortFrom(unspecified(ip), 0)})
			case n.serves(ip) || p.forwards(n, r, ip):
				r.HostIPs = append(r.HostIPs, ip)
			case r.Named:
				return out, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
					"cannot publish port %s at host address %s: network %s has no addresses of that family", r.Container, ip, n.net.Name))
			}
		}
		if len(r.HostIPs) > 0 {
			out.requests = append(out.requests, r)
		}
	}
	return out, nil
}

// serves says whether endpoints have addresses of the family of ip. Of an
// operator's network that is not known before.
func (n *entry) serves(ip netip.Addr) bool {
	if n.bridge == nil {
		return ip.Is4()
	}
	for _, s := range n.subnets {
		if s.Subnet.Addr().Is4() == ip.Is4() {
			return true
		}
	}
	return false
}

// routes says whether the network's containers are reached at their own
// addresses of the family of ip, and at no port of the host (Docker's gateway
// mode "routed").
func (n *entry) routes(ip netip.Addr) bool {
	if n.rules == nil || !n.serves(ip) {
		return false
	}
	if ip.Is4() {
		return n.rules.Access4 == firewall.AccessRouted
	}
	return n.rules.Access6 == firewall.AccessRouted
}

// forwards says whether the container's shim can take what comes to ip, an
// address of IPv6, to a container that has none.
func (p *publisher) forwards(n *entry, r ports.Request, ip netip.Addr) bool {
	return p.proxy && ip.Is6() && n.serves(netip.IPv4Unspecified()) && r.Container.Proto() != network.SCTP && hostHas6()
}

// hostHas6: a kernel without IPv6, or told not to use it, has no such file.
func hostHas6() bool {
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return err == nil
}

func unspecified(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// bind has the ports of s granted.
func (p *publisher) bind(s *sandbox.Sandbox, wanted published) error {
	s.Bindings = nil
	if len(wanted.requests) > 0 {
		bindings, err := p.ports.Bind(s.ID, s.Name, wanted.requests)
		if err != nil {
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w",
				s.Name, s.Endpoints[0].Settings.EndpointID, err)
		}
		s.Bindings = bindings
	}
	s.Bindings = append(s.Bindings, wanted.direct...)
	p.markForwarded(s)
	return nil
}

// markForwarded says which bindings the firewall cannot translate: to another IP
// version, and from ::1.
func (p *publisher) markForwarded(s *sandbox.Sandbox) {
	if len(s.Bindings) == 0 {
		return
	}
	n, ok := p.networks.byExactName(s.Endpoints[0].Network)
	for i := range s.Bindings {
		ip := s.Bindings[i].Host.Addr()
		s.Bindings[i].Forwarded = ip.Is6() && (ip.IsLoopback() || !ok || !n.serves(ip))
	}
}

// HandOver gives the sockets that hold the container's ports to its shim, which
// listens now: they are held, and forwarded, without this process. After an
// error this process has them still.
func (p *publisher) HandOver(ctx context.Context, id string) error {
	s, ok := p.sandboxes.Get(id)
	if !ok || p.holder == nil || len(s.Bindings) == 0 {
		return nil
	}
	given := false
	err := p.ports.HandOver(id, func(bindings []ports.Binding, fds []int) error {
		given = true
		return streams.GivePorts(ctx, p.holder(id), s.Destinations(bindings, p.proxy), fds)
	})
	if err != nil || !given {
		return err
	}
	held := s.Copy()
	held.Held = true
	return p.sandboxes.Put(held)
}

// takeBack ends what the shim of s has of ports, so that others may have them.
func (p *publisher) takeBack(ctx context.Context, s *sandbox.Sandbox) error {
	if !s.Held || p.holder == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	return streams.ReleasePorts(ctx, p.holder(s.ID))
}

// release gives the ports of s back. A shim that does not answer holds its own
// until it ends.
func (p *publisher) release(ctx context.Context, s *sandbox.Sandbox) {
	if err := p.takeBack(ctx, s); err != nil {
		p.log.Warn("the shim of a container may still hold its ports", "container", s.ID, "error", err)
	}
	p.ports.Release(s.ID)
}

// movePorts has s, which before becomes, hold the ports for the endpoint called
// to, "" for none. led gives them to the shim again, with where they lead; until
// then the record does not count on the shim.
func (p *publisher) movePorts(ctx context.Context, before, s *sandbox.Sandbox, to string, publish network.PortMap) error {
	switch {
	case to == "": // nothing leads out any more
		p.release(ctx, s)
		s.Bindings, s.Held = nil, false
	case len(s.Bindings) == 0:
		wanted, err := p.requests(s, publish)
		if err != nil {
			return err
		}
		return p.bind(s, wanted)
	default:
		if s.Held {
			moving := before.Copy()
			moving.Held = false
			if err := errors.Join(p.sandboxes.Put(moving), p.takeBack(ctx, s)); err != nil {
				return err
			}
			s.Held = false
			p.ports.Restore(s.ID, s.Name, s.Bindings, false)
		}
		s.Bindings = slices.Clone(s.Bindings)
		p.markForwarded(s)
	}
	return nil
}

// hold ends a move of ports that broke off: the container's shim has those of s
// again, and nobody has such as s does not know.
func (p *publisher) hold(ctx context.Context, s *sandbox.Sandbox) error {
	if len(s.Bindings) == 0 {
		p.ports.Release(s.ID)
		return nil
	}
	if s.Held {
		return nil // they were not moved
	}
	doubtful := s.Copy()
	doubtful.Held = true
	if err := p.takeBack(ctx, doubtful); err != nil {
		return err
	}
	p.ports.Restore(s.ID, s.Name, s.Bindings, false)
	return p.led(ctx, s)
}

// led ends what lead began: s is recorded, and its ports are with the shim.
func (p *publisher) led(ctx context.Context, s *sandbox.Sandbox) error {
	if err := p.sandboxes.Put(s); err != nil || s.Held {
		return err
	}
	if err := p.HandOver(ctx, s.ID); err != nil {
		p.log.Warn("the ports of a container are held by the daemon alone", "container", s.ID, "error", err)
	}
	return nil
}
