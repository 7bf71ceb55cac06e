package net

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/moby/moby/api/types/network"
)

// undoTimeout bounds what is done after a caller's context has ended.
const undoTimeout = 30 * time.Second

// wirer makes the sandboxes of containers and the endpoints in them.
type wirer struct {
	*publisher

	networks  *registry
	sandboxes *sandboxes
	names     namer
	firewall  *firewall.Table
	cni       *libcni.CNIConfig
	dirs      layout
	log       *slog.Logger
}

// Setup makes the sandbox of container id with one endpoint per network, and
// publishes ports. Nothing remains when it fails. name stands for the container
// in messages and in network inspect. A namespace that is still there, because
// other containers are in it, is used again.
//
// key is the path of the network namespace, "" for the host's. made are the
// endpoints under the keys of wanted, with addresses, gateway, MAC and IDs
// filled in; bound has the host address and port of each binding.
//
// Setup, Connect, Disconnect and Teardown of one container must not overlap.
func (w *wirer) Setup(ctx context.Context, id, name string, wanted map[string]*network.EndpointSettings, publish network.PortMap) (key string, made map[string]*network.EndpointSettings, bound network.PortMap, err error) {
	if err := utils.ValidateContainerID(id); err != nil {
		return "", nil, nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	kept, err := w.clear(ctx, id)
	if err != nil {
		return "", nil, nil, fmt.Errorf("removing the sandbox of an earlier start: %w", err)
	}
	s, err := w.setup(ctx, id, name, wanted, publish, kept)
	if err == nil {
		return s.Key, s.settings(), s.bound(), nil
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var undoErr error
	if kept {
		_, undoErr = w.clear(undo, id)
	} else {
		undoErr = w.Teardown(undo, id)
	}
	return "", nil, nil, errors.Join(err, undoErr)
}

func (w *wirer) setup(ctx context.Context, id, name string, endpoints map[string]*network.EndpointSettings, publish network.PortMap, kept bool) (*sandbox, error) {
	s, release, err := w.plan(id, name, endpoints)
	if err != nil {
		return nil, err
	}
	defer release()
	wanted, err := w.requests(s, publish)
	if err != nil {
		return nil, err
	}
	return s, w.build(ctx, s, wanted, kept)
}

// plan says what there will be. Until release the networks cannot be removed.
func (w *wirer) plan(id, name string, wanted map[string]*network.EndpointSettings) (_ *sandbox, release func(), err error) {
	s := &sandbox{ID: id, Name: name, Key: w.dirs.pin(id)}
	var releases []func()
	all := func() {
		for _, f := range releases {
			f()
		}
	}
	defer func() {
		if err != nil {
			all()
		}
	}()
	for ref, settings := range wanted {
		e, n, done, err := w.planEndpoint(ref, settings)
		if err != nil {
			return nil, nil, err
		}
		releases = append(releases, done)
		if len(wanted) > 1 && (n.net.Driver == define.DriverHost || n.net.Driver == define.DriverNull) {
			return nil, nil, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("container cannot be connected to network endpoints: %s and others", n.net.Name))
		}
		if n.net.Driver == define.DriverHost {
			s.Key = ""
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	s.order()
	for i := range s.Endpoints {
		if err := s.name(i); err != nil {
			return nil, nil, err
		}
		if i > 0 && s.Endpoints[i].Network == s.Endpoints[i-1].Network {
			return nil, nil, errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("endpoint for network %s is given twice", s.Endpoints[i].Network))
		}
	}
	return s, all, nil
}

// planEndpoint says what an endpoint will be, but for its interface's name.
func (w *wirer) planEndpoint(ref string, settings *network.EndpointSettings) (e endpoint, n *entry, release func(), err error) {
	n, release, err = w.networks.hold(ref)
	if err != nil {
		return e, nil, nil, err
	}
	if settings = settings.Copy(); settings == nil {
		settings = &network.EndpointSettings{}
	}
	if e.Options, err = define.ParseEndpoint(n.net, settings); err != nil {
		release()
		return e, nil, nil, err
	}
	settings.NetworkID, settings.EndpointID = n.net.ID, newID()
	e.Ref, e.Network, e.Settings = ref, n.net.Name, settings
	e.Prefix = cmp.Or(n.options.IfPrefix, "eth")
	e.Outward = n.net.Driver != define.DriverHost && n.net.Driver != define.DriverNull && !n.net.Internal
	return e, n, release, nil
}

// order: the first has the default route and the published ports. That is one
// that leads out, then priority decides, then the network's name.
func (s *sandbox) order() {
	outward := func(e endpoint) int {
		if e.Outward {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(s.Endpoints, func(a, b endpoint) int {
		return cmp.Or(cmp.Compare(outward(a), outward(b)),
			cmp.Compare(b.Settings.GwPriority, a.Settings.GwPriority), cmp.Compare(a.Network, b.Network))
	})
}

// name gives endpoint i its interface's name: what was asked for, or the
// network's prefix with the first number that is free.
func (s *sandbox) name(i int) error {
	taken := func(name string) bool {
		return slices.ContainsFunc(s.Endpoints, func(e endpoint) bool { return e.IfName == name })
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

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// build makes s, in the namespace that is there if it was kept. What it made
// before it failed is Teardown's.
func (w *wirer) build(ctx context.Context, s *sandbox, wanted published, kept bool) error {
	if err := w.bind(s, wanted); err != nil {
		return err
	}
	if err := w.sandboxes.put(s); err != nil {
		return err
	}
	if s.Key != "" && !kept {
		if err := bridge.CreateNetNS(s.Key); err != nil {
			return err
		}
	}
	done := s.copy()
	done.Ready = true
	for i := range done.Endpoints {
		if err := w.attach(ctx, s, i, &done.Endpoints[i]); err != nil {
			return err
		}
	}
	if len(done.Endpoints) > 1 { // one has its routes from its plugin
		if err := done.route(); err != nil {
			return err
		}
	}
	if err := w.sandboxes.put(done); err != nil {
		return err
	}
	*s = *done
	return w.names.announce(ctx, s)
}

// attach makes endpoint i of s and fills in e.
func (w *wirer) attach(ctx context.Context, s *sandbox, i int, e *endpoint) error {
	n, err := w.networks.find(e.Network)
	if err != nil {
		return err
	}
	result, err := w.cni.AddNetworkList(ctx, n.list, s.runtimeConf(i))
	if err != nil {
		return cni.Cause(err)
	}
	r, err := current.NewResultFromResult(result)
	if err != nil {
		return err
	}
	e.Settings = e.Settings.Copy()
	if err := e.fill(r); err != nil {
		return err
	}
	return e.dress(s.Key)
}

// dress gives the interface what no CNI capability names.
func (e *endpoint) dress(key string) error {
	if key == "" || len(e.Options.Sysctls)+len(e.Options.LinkLocal) == 0 {
		return nil
	}
	return netns.At(key, func() error {
		for _, s := range e.Options.Sysctls {
			if err := bridge.Sysctl(s.Path(e.IfName), s.Value); err != nil {
				return errdefs.ErrInvalidArgument.WithMessage(err.Error())
			}
		}
		return bridge.AddAddresses(e.IfName, e.Options.LinkLocal)
	})
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
		if c.IPv4Address.IsValid() {
			ips = append(ips, c.IPv4Address.Unmap().String())
		}
		if c.IPv6Address.IsValid() {
			ips = append(ips, c.IPv6Address.String())
		}
		if len(ips) > 0 {
			args["ips"] = ips
		}
	}
	if mappings := s.mappings(); i == 0 && e.Outward && len(mappings) > 0 {
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
		a, gw = a.Unmap(), gw.Unmap() // no gateway: zero
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
