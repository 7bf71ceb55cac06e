package net

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
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
	sandboxes *sandbox.Store
	names     namer
	firewall  *firewall.Table
	links     linker
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
		return s.Key, s.Settings(), s.Bound(), nil
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

func (w *wirer) setup(ctx context.Context, id, name string, endpoints map[string]*network.EndpointSettings, publish network.PortMap, kept bool) (*sandbox.Sandbox, error) {
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
func (w *wirer) plan(id, name string, wanted map[string]*network.EndpointSettings) (_ *sandbox.Sandbox, release func(), err error) {
	s := &sandbox.Sandbox{ID: id, Name: name, Key: w.dirs.pin(id)}
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
	s.Order()
	for i := range s.Endpoints {
		if err := s.NameInterface(i); err != nil {
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
func (w *wirer) planEndpoint(ref string, settings *network.EndpointSettings) (e sandbox.Endpoint, n *entry, release func(), err error) {
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

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// build makes s, in the namespace that is there if it was kept. What it made
// before it failed is Teardown's.
func (w *wirer) build(ctx context.Context, s *sandbox.Sandbox, wanted published, kept bool) error {
	if err := w.bind(s, wanted); err != nil {
		return err
	}
	if err := w.sandboxes.Put(s); err != nil {
		return err
	}
	if s.Key != "" && !kept {
		if err := bridge.CreateNetNS(s.Key); err != nil {
			return err
		}
	}
	done := s.Copy()
	done.Ready = true
	for i := range done.Endpoints {
		if err := w.attach(ctx, s, i, &done.Endpoints[i]); err != nil {
			return err
		}
	}
	if len(done.Endpoints) > 1 { // one has its routes from its plugin
		if err := route(done); err != nil {
			return err
		}
	}
	if err := w.sandboxes.Put(done); err != nil {
		return err
	}
	*s = *done
	return errors.Join(w.links.open(ctx, s.ID), w.names.announce(ctx, s))
}

// attach makes endpoint i of s and fills in e.
func (w *wirer) attach(ctx context.Context, s *sandbox.Sandbox, i int, e *sandbox.Endpoint) error {
	n, err := w.networks.find(e.Network)
	if err != nil {
		return err
	}
	result, err := w.cni.AddNetworkList(ctx, n.list, s.RuntimeConf(i))
	if err != nil {
		return cni.Cause(err)
	}
	r, err := current.NewResultFromResult(result)
	if err != nil {
		return err
	}
	e.Settings = e.Settings.Copy()
	if err := e.Fill(r); err != nil {
		return err
	}
	return dress(e, s.Key)
}

// dress gives an interface what no CNI capability names.
func dress(e *sandbox.Endpoint, key string) error {
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

// route makes the default routes of s.
func route(s *sandbox.Sandbox) error {
	if s.Key == "" || len(s.Endpoints) == 0 {
		return nil
	}
	return bridge.SetDefaultRoutes(s.Key, s.Routes())
}
