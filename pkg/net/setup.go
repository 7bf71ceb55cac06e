package net

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/moby/moby/api/types/network"
)

// undoTimeout bounds what is done after a caller's context has ended.
const undoTimeout = 30 * time.Second

// Setup makes the sandbox of container id with one endpoint per network, and
// publishes ports. Nothing remains when it fails. name stands for the container
// in messages and in network inspect.
//
// key is the path of the network namespace, "" for the host's. made are the
// endpoints under the keys of wanted, with addresses, gateway, MAC and IDs
// filled in; bound has the host address and port of each binding.
func (m *Manager) Setup(ctx context.Context, id, name string, wanted map[string]*network.EndpointSettings, publish network.PortMap) (key string, made map[string]*network.EndpointSettings, bound network.PortMap, err error) {
	if err := utils.ValidateContainerID(id); err != nil {
		return "", nil, nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	// A container that is being started has no sandbox: what is there was left.
	if err := m.Teardown(ctx, id); err != nil {
		return "", nil, nil, fmt.Errorf("removing the sandbox of an earlier start: %w", err)
	}
	s, err := m.plan(id, name, wanted)
	if err != nil {
		return "", nil, nil, err
	}
	requests, err := m.requests(s, publish)
	if err != nil {
		return "", nil, nil, err
	}
	if err := m.build(ctx, s, requests); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return "", nil, nil, errors.Join(err, m.Teardown(undo, id))
	}
	return s.Key, s.settings(), s.bound(), nil
}

// plan says what there will be.
func (m *Manager) plan(id, name string, wanted map[string]*network.EndpointSettings) (*sandbox, error) {
	s := &sandbox{ID: id, Name: name, Key: m.dirs.pin(id)}
	for ref, settings := range wanted {
		n, err := m.networks.find(ref)
		if err != nil {
			return nil, err
		}
		if len(wanted) > 1 && (n.net.Driver == driverHost || n.net.Driver == driverNull) {
			return nil, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("container cannot be connected to network endpoints: %s and others", n.net.Name))
		}
		if n.net.Driver == driverHost {
			s.Key = ""
		}
		if settings = settings.Copy(); settings == nil {
			settings = &network.EndpointSettings{}
		}
		settings.NetworkID, settings.EndpointID = n.net.ID, newID()
		s.Endpoints = append(s.Endpoints, endpoint{Ref: ref, Network: n.net.Name, Settings: settings})
	}
	slices.SortFunc(s.Endpoints, func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(b.Settings.GwPriority, a.Settings.GwPriority), cmp.Compare(a.Network, b.Network))
	})
	for i := range s.Endpoints {
		s.Endpoints[i].IfName = fmt.Sprintf("eth%d", i)
		if i > 0 && s.Endpoints[i].Network == s.Endpoints[i-1].Network {
			return nil, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("endpoint for network %s is given twice", s.Endpoints[i].Network))
		}
	}
	return s, nil
}

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// requests are the ports to bind; none where nothing can be published, as in
// the host's own namespace.
func (m *Manager) requests(s *sandbox, publish network.PortMap) ([]ports.Request, error) {
	out, err := ports.Parse(publish, m.cfg.HostIP)
	if err != nil || len(out) == 0 || len(s.Endpoints) == 0 {
		return nil, err
	}
	n, err := m.networks.find(s.Endpoints[0].Network)
	if err != nil {
		return nil, err
	}
	if n.net.Driver == driverHost || n.net.Driver == driverNull || n.net.Internal {
		return nil, nil
	}
	return n.serve(out)
}

// serve leaves out what the network has no addresses for; InvalidArgument where
// that was asked for.
func (n *entry) serve(all []ports.Request) (out []ports.Request, err error) {
	for _, r := range all {
		asked := r.HostIPs
		r.HostIPs = nil
		for _, ip := range asked {
			switch {
			case n.serves(ip):
				r.HostIPs = append(r.HostIPs, ip)
			case r.Named:
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
					"cannot publish port %s at host address %s: network %s has no addresses of that family", r.Container, ip, n.net.Name))
			}
		}
		if len(r.HostIPs) > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

// build makes s. What it made before it failed is Teardown's.
func (m *Manager) build(ctx context.Context, s *sandbox, requests []ports.Request) error {
	if len(requests) > 0 {
		bindings, err := m.ports.Bind(s.ID, s.Name, requests)
		if err != nil {
			return fmt.Errorf("driver failed programming external connectivity on endpoint %s (%s): %w",
				s.Name, s.Endpoints[0].Settings.EndpointID, err)
		}
		s.Bindings = bindings
	}
	if err := m.sandboxes.put(s); err != nil {
		return err
	}
	if s.Key != "" {
		if err := bridge.CreateNetNS(s.Key); err != nil {
			return err
		}
	}
	done := *s
	done.Endpoints, done.Ready = slices.Clone(s.Endpoints), true
	for i := range done.Endpoints {
		if err := m.attach(ctx, s, i, &done.Endpoints[i]); err != nil {
			return err
		}
	}
	if err := m.sandboxes.put(&done); err != nil {
		return err
	}
	*s = done
	return nil
}

// attach makes endpoint i of s and fills in e.
func (m *Manager) attach(ctx context.Context, s *sandbox, i int, e *endpoint) error {
	n, err := m.networks.find(e.Network)
	if err != nil {
		return err
	}
	result, err := m.cni.AddNetworkList(ctx, n.list, s.runtimeConf(i))
	if err != nil {
		return cni.Cause(err)
	}
	r, err := current.NewResultFromResult(result)
	if err != nil {
		return err
	}
	e.Settings = e.Settings.Copy()
	return e.fill(r)
}

// hostNS is where endpoints of the network "host" are.
const hostNS = "/proc/thread-self/ns/net"

// runtimeConf is what libcni needs to add or remove endpoint i.
func (s *sandbox) runtimeConf(i int) *libcni.RuntimeConf {
	e := s.Endpoints[i]
	args := map[string]any{"defaultRoute": i == 0}
	if mac := e.Settings.MacAddress; len(mac) > 0 {
		args["mac"] = mac.String()
	}
	if c := e.Settings.IPAMConfig; c != nil {
		var ips []string
		for _, a := range []netip.Addr{c.IPv4Address, c.IPv6Address} {
			if a.IsValid() {
				ips = append(ips, a.String())
			}
		}
		if len(ips) > 0 {
			args["ips"] = ips
		}
	}
	if i == 0 && len(s.Bindings) > 0 {
		mappings := make([]cni.PortMapping, len(s.Bindings))
		for j, b := range s.Bindings {
			mappings[j] = cni.PortMapping{HostPort: b.Host.Port(), HostIP: b.Host.Addr().String(),
				ContainerPort: b.Container.Num(), Protocol: string(b.Container.Proto())}
		}
		args["portMappings"] = mappings
	}
	ns := s.Key
	if ns == "" {
		ns = hostNS
	}
	return &libcni.RuntimeConf{ContainerID: s.ID, NetNS: ns, IfName: e.IfName, CapabilityArgs: args}
}

// fill takes the addresses from a CNI result.
func (e *endpoint) fill(r *current.Result) error {
	for _, i := range r.Interfaces {
		if i.Name == e.IfName && i.Sandbox != "" {
			if err := e.Settings.MacAddress.UnmarshalText([]byte(i.Mac)); err != nil {
				return types.NewError(types.ErrInternal, "invalid MAC address in a CNI result", err.Error())
			}
		}
	}
	for _, ip := range r.IPs {
		a, _ := netip.AddrFromSlice(ip.Address.IP)
		gw, _ := netip.AddrFromSlice(ip.Gateway)
		a, gw = a.Unmap(), gw.Unmap()
		ones, _ := ip.Address.Mask.Size()
		switch {
		case a.Is4() && !e.Settings.IPAddress.IsValid():
			e.Settings.IPAddress, e.Settings.IPPrefixLen, e.Settings.Gateway = a, ones, gw
		case a.Is6() && !e.Settings.GlobalIPv6Address.IsValid():
			e.Settings.GlobalIPv6Address, e.Settings.GlobalIPv6PrefixLen, e.Settings.IPv6Gateway = a, ones, gw
		}
	}
	return nil
}
