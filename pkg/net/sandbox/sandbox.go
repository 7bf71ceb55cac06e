// Package sandbox is the record of a container's network: what there is to be, or
// is, in one network namespace. Records change as a whole; what follows from one,
// for CNI's plugins, the firewall and the container's shim, is worked out here and
// changes nothing.
package sandbox

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Sandbox is the record of a container's network, EXEC/net/sandboxes/ID.json.
// It is written before anything of it is made and again when all is; it is
// removed last.
type Sandbox struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"` // for people: of the container, as the engine gave it
	Key       string          `json:"key"`  // "" is the host's namespace
	Endpoints []Endpoint      `json:"endpoints"`
	Bindings  []ports.Binding `json:"bindings,omitempty"`
	Held      bool            `json:"held,omitempty"` // the container's shim has the ports' sockets
	Ready     bool            `json:"ready"`          // Setup came to its end
	// Links are the ports of others, by their IDs, that it reaches on the default
	// network in any case.
	Links map[string][]network.Port `json:"links,omitempty"`
}

// Endpoint is one attachment. The sandbox's first has the default route and
// the published ports.
type Endpoint struct {
	Ref      string                    `json:"ref"`     // as the engine names the network
	Network  string                    `json:"network"` // its name
	IfName   string                    `json:"ifName"`
	Settings *network.EndpointSettings `json:"settings"`
	Outward  bool                      `json:"outward,omitempty"` // the network leads elsewhere
	// Pending says that it is being added to a sandbox that was complete, or
	// taken away from it; a crash in between ends in its being taken away.
	Pending bool `json:"pending,omitempty"`

	Prefix  string          `json:"-"` // of its interface's name
	Options define.Endpoint `json:"-"`
}

// Copy is for a record that replaces s.
func (s *Sandbox) Copy() *Sandbox {
	c := *s
	c.Endpoints = slices.Clone(s.Endpoints)
	return &c
}

// First is the endpoint with the default route; nil when there is none.
func (s *Sandbox) First() *Endpoint {
	if len(s.Endpoints) == 0 {
		return nil
	}
	return &s.Endpoints[0]
}

// On finds the endpoint on a network; -1 when there is none.
func (s *Sandbox) On(network string) int {
	return slices.IndexFunc(s.Endpoints, func(e Endpoint) bool { return e.Network == network })
}

// Routes are the default routes of its namespace: by the first endpoint that has
// one for IPv4, and for IPv6.
func (s *Sandbox) Routes() (out []bridge.DefaultRoute) {
	var done4, done6 bool
	for _, e := range s.Endpoints {
		if gw := e.Settings.Gateway; gw.IsValid() && !done4 {
			out, done4 = append(out, bridge.DefaultRoute{IfName: e.IfName, Gateway: gw}), true
		}
		if gw := e.Settings.IPv6Gateway; gw.IsValid() && !done6 {
			out, done6 = append(out, bridge.DefaultRoute{IfName: e.IfName, Gateway: gw}), true
		}
	}
	return out
}

// Settings returns copies, by the engine's names.
func (s *Sandbox) Settings() map[string]*network.EndpointSettings {
	out := make(map[string]*network.EndpointSettings, len(s.Endpoints))
	for _, e := range s.Endpoints {
		if !e.Pending {
			out[e.Ref] = e.Settings.Copy()
		}
	}
	return out
}

// Bound is where its ports are published.
func (s *Sandbox) Bound() network.PortMap {
	out := network.PortMap{}
	for _, b := range s.Bindings {
		pb := network.PortBinding{HostIP: b.Host.Addr()}
		if b.Host.Port() != 0 {
			pb.HostPort = strconv.Itoa(int(b.Host.Port()))
		}
		out[b.Container] = append(out[b.Container], pb)
	}
	return out
}

// Address is the endpoint's of a family; the zero value when it has none.
func (e *Endpoint) Address(six bool) netip.Addr {
	if six {
		return e.Settings.GlobalIPv6Address
	}
	return e.Settings.IPAddress
}

// Owner names an endpoint to the firewall, as its plugin does.
func (s *Sandbox) Owner(e *Endpoint) string {
	return ipam.Owner{ID: s.ID, IfName: e.IfName}.String()
}

// Order sorts the endpoints. The first has the default route and the published ports. That is one
// that leads out, then priority decides, then the network's name.
func (s *Sandbox) Order() {
	outward := func(e Endpoint) int {
		if e.Outward {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(s.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(outward(a), outward(b)),
			cmp.Compare(b.Settings.GwPriority, a.Settings.GwPriority), cmp.Compare(a.Network, b.Network))
	})
}

// NameInterface gives endpoint i its interface's name: what was asked for, or the
// network's prefix with the first number that is free.
func (s *Sandbox) NameInterface(i int) error {
	taken := func(name string) bool {
		return slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return e.IfName == name })
	}
	e := &s.Endpoints[i]
	if want := e.Options.IfName; want != "" {
		if taken(want) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("interface name %q is used twice", want))
		}
		e.IfName = want
		return nil
	}
	for number := 0; e.IfName == ""; number++ {
		if name := fmt.Sprintf("%s%d", e.Prefix, number); !taken(name) {
			e.IfName = name
		}
	}
	return nil
}

// Publisher is the firewall's name of the endpoint that has the published
// ports; "" when no network leads out.
func (s *Sandbox) Publisher() string {
	if e := s.First(); e != nil && e.Outward {
		return s.Owner(e)
	}
	return ""
}
