package sandbox

import (
	"net/netip"

	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/moby/moby/api/types/network"
)

// Published is what berth-ports made of the bindings, for a table built anew.
func (s *Sandbox) Published() (owner string, out []firewall.Mapping) {
	if len(s.Endpoints) == 0 || !s.Ready {
		return "", nil
	}
	first := s.Endpoints[0]
	for _, b := range s.Bindings {
		proto, err := ports.Protocol(b.Container.Proto())
		if err != nil || b.Forwarded {
			continue
		}
		m := firewall.Mapping{Proto: proto, To: netip.AddrPortFrom(first.Address(b.Host.Addr().Is6()), b.Container.Num())}
		if b.Host.Port() != 0 {
			m.Host = b.Host
		}
		out = append(out, m)
	}
	return s.Owner(&first), out
}

// Mappings are the bindings for CNI's plugins.
func (s *Sandbox) Mappings() (out []cni.PortMapping) {
	for _, b := range s.Bindings {
		if !b.Forwarded {
			out = append(out, cni.PortMapping{HostPort: b.Host.Port(), HostIP: b.Host.Addr().String(),
				ContainerPort: b.Container.Num(), Protocol: string(b.Container.Proto())})
		}
	}
	return out
}

// Destinations says where the shim sends what comes to each port's socket:
// nowhere, if the firewall does it. What comes to ::1 it never does.
func (s *Sandbox) Destinations(bindings []ports.Binding, proxy bool) []streams.Port {
	to := s.First().Address(true)
	if !to.IsValid() {
		to = s.First().Address(false)
	}
	out := make([]streams.Port, len(bindings))
	for i, b := range bindings {
		if proxy && b.Host.Addr().Is6() && b.Container.Proto() != network.SCTP {
			out[i] = streams.Port{UDP: b.Container.Proto() == network.UDP, To: netip.AddrPortFrom(to, b.Container.Num())}
		}
	}
	return out
}
