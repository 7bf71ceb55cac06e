package net

import (
	"context"
	"net/netip"

	"github.com/berth-engine/berth/pkg/net/records"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
)

// namer keeps what containers are called where their shims answer from.
type namer struct {
	networks *registry
	records  *records.Records
	shim     func(id string) string // socket of a container's shim; nil: none is told
}

// announce has the containers on the networks of s know it by its names, and it
// them. It comes after an endpoint is made, and before one is removed: nobody is
// sent to an address that nobody has.
func (n namer) announce(ctx context.Context, s *sandbox.Sandbox) error {
	if s.Key == "" {
		return nil // the host's own resolver answers
	}
	return n.records.Put(ctx, n.called(s))
}

// called is what the containers of the sandbox's networks are to know.
func (n namer) called(s *sandbox.Sandbox) records.Sandbox {
	out := records.Sandbox{ID: s.ID}
	for _, e := range s.Endpoints {
		of, ok := n.networks.byExactName(e.Network)
		if !ok || e.Pending {
			continue
		}
		r := records.Endpoint{Network: e.Network, Internal: of.net.Internal, Plain: of.predefined,
			Names: e.Settings.DNSNames, Links: e.Settings.Links}
		for _, a := range []netip.Addr{e.Settings.IPAddress, e.Settings.GlobalIPv6Address} {
			if a.IsValid() {
				r.Addrs = append(r.Addrs, a)
			}
		}
		out.Endpoints = append(out.Endpoints, r)
	}
	return out
}

// tell has the shim of a running container answer names, which it has not done
// if the container was on no network that has them.
func (n namer) tell(ctx context.Context, s *sandbox.Sandbox) error {
	if n.shim == nil || s.Key == "" {
		return nil
	}
	err := streams.RefreshNames(ctx, n.shim(s.ID))
	if errdefs.IsNotFound(err) {
		return nil // it ends
	}
	return err
}

// forget is announce for a container that ends.
func (n namer) forget(ctx context.Context, id string) error { return n.records.Remove(ctx, id) }

// restore makes the files what the sandboxes say, at boot.
func (n namer) restore(ctx context.Context, sandboxes map[string]*sandbox.Sandbox) error {
	var all []records.Sandbox
	for _, s := range sandboxes {
		if s.Ready && s.Key != "" {
			all = append(all, n.called(s))
		}
	}
	return n.records.Reset(ctx, all)
}

// Names is the path of what a container's shim answers names from.
func (m *Manager) Names(id string) string { return m.wirer.names.records.Path(id) }
