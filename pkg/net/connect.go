package net

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Check says whether a container may have an endpoint on a network with these
// settings, as Setup and Connect will. NotFound: there is no such network, and the
// settings are right for all that is known.
func (w *wirer) Check(ref string, settings *network.EndpointSettings) error {
	n, err := w.networks.find(ref)
	if settings == nil || err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	of := network.Network{Name: ref}
	if err == nil {
		of = n.net
	}
	if _, wrong := define.ParseEndpoint(of, settings); wrong != nil {
		return wrong
	}
	return err
}

// Connect gives the sandbox of a running container one endpoint more, or
// changes nothing. What it answers is as Setup's. publish are the ports that
// the container wants: they are published now if no network led out before.
func (w *wirer) Connect(ctx context.Context, id, ref string, settings *network.EndpointSettings, publish network.PortMap) (made map[string]*network.EndpointSettings, bound network.PortMap, err error) {
	s, err := w.complete(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	e, n, release, err := w.planEndpoint(ref, settings)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if s.On(e.Network) >= 0 {
		return nil, nil, errdefs.ErrPermissionDenied.WithMessage(
			fmt.Sprintf("endpoint with name %s already exists in network %s", s.Name, e.Network))
	}
	if s.Key == "" || n.net.Driver == define.DriverHost || n.net.Driver == define.DriverNull {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage(
			"container sharing network namespace with another container or host cannot be connected to any other network")
	}
	// It comes last, so that it neither has the default route nor ports yet.
	planned := s.Copy()
	e.Pending = true
	planned.Endpoints = append(planned.Endpoints, e)
	last := len(planned.Endpoints) - 1
	if err := planned.NameInterface(last); err != nil {
		return nil, nil, err
	}
	done, err := w.join(ctx, planned, last, publish)
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		_, undoErr := w.complete(undo, id)
		return nil, nil, errors.Join(err, undoErr)
	}
	return done.Settings(), done.Bound(), nil
}

// join makes the last endpoint of planned, which is recorded first.
func (w *wirer) join(ctx context.Context, planned *sandbox.Sandbox, last int, publish network.PortMap) (*sandbox.Sandbox, error) {
	if err := w.sandboxes.Put(planned); err != nil {
		return nil, err
	}
	done := planned.Copy()
	if err := w.attach(ctx, planned, last, &done.Endpoints[last]); err != nil {
		return nil, err
	}
	done.Endpoints[last].Pending = false
	done.Order()
	if err := w.lead(ctx, planned, done, publish); err != nil {
		return nil, err
	}
	if err := w.names.announce(ctx, done); err != nil {
		return nil, err
	}
	if err := w.names.tell(ctx, done); err != nil {
		return nil, err
	}
	if err := w.led(ctx, done); err != nil {
		return nil, err
	}
	if err := w.links.open(ctx, done.ID); err != nil { // it is connected all the same
		w.log.Error("a container's links do not work", "container", done.ID, "error", err)
	}
	return done, nil
}

// Disconnect takes a running container off a network; if it is not on it, nothing
// is to be done. What it answers is as Setup's. After an error the endpoint may be
// half there: then whatever is next asked for the container takes it away first.
func (w *wirer) Disconnect(ctx context.Context, id, ref string, publish network.PortMap) (made map[string]*network.EndpointSettings, bound network.PortMap, err error) {
	s, err := w.complete(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(s.Endpoints, func(e sandbox.Endpoint) bool { return e.Ref == ref })
	if i < 0 {
		if n, err := w.networks.find(ref); err == nil {
			i = s.On(n.net.Name)
		}
	}
	if i < 0 {
		return s.Settings(), s.Bound(), nil
	}
	leaving := s.Copy()
	leaving.Endpoints[i].Pending = true
	if err := w.sandboxes.Put(leaving); err != nil {
		return nil, nil, err
	}
	done, err := w.part(ctx, leaving, i, publish)
	if err != nil {
		return nil, nil, err
	}
	return done.Settings(), done.Bound(), nil
}

// part has nobody sent to endpoint i of s any more, and removes it.
func (w *wirer) part(ctx context.Context, s *sandbox.Sandbox, i int, publish network.PortMap) (*sandbox.Sandbox, error) {
	if err := errors.Join(w.names.announce(ctx, s), w.links.part(ctx, s, false)); err != nil {
		return nil, err
	}
	return w.leave(ctx, s, i, publish)
}

// leave removes endpoint i of s, which is pending.
func (w *wirer) leave(ctx context.Context, s *sandbox.Sandbox, i int, publish network.PortMap) (*sandbox.Sandbox, error) {
	if err := w.detach(ctx, s, i); err != nil {
		return nil, err
	}
	done := s.Copy()
	done.Endpoints = slices.Delete(done.Endpoints, i, i+1)
	if err := w.lead(ctx, s, done, publish); err != nil {
		return nil, err
	}
	return done, w.led(ctx, done)
}

// settle takes away the endpoints that a failure or a crash left pending. The
// ports may have been on their way to or from one: they are published and held
// where the container is reached now.
func (w *wirer) settle(ctx context.Context, s *sandbox.Sandbox) error {
	pending := func() int {
		return slices.IndexFunc(s.Endpoints, func(e sandbox.Endpoint) bool { return e.Pending })
	}
	if pending() < 0 {
		return nil
	}
	for i := pending(); i >= 0; i = pending() {
		var err error
		if s, err = w.part(ctx, s, i, nil); err != nil {
			return err
		}
	}
	if err := republish(ctx, w.firewall, s); err != nil {
		return err
	}
	return w.hold(ctx, s)
}

// republish has the firewall know the ports of s, if it does not.
func republish(ctx context.Context, t *firewall.Table, s *sandbox.Sandbox) error {
	owner, mappings := s.Published()
	if len(mappings) == 0 {
		return nil
	}
	have, err := t.Published(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(mappings, func(m firewall.Mapping) bool { return !slices.Contains(have[owner], m) }) {
		return nil
	}
	return errors.Join(t.Unpublish(ctx, owner), t.Publish(ctx, owner, mappings))
}

// complete finds the sandbox of a running container, without what an earlier
// change could not take away.
func (w *wirer) complete(ctx context.Context, id string) (*sandbox.Sandbox, error) {
	s, ok := w.sandboxes.Get(id)
	if ok && s.Ready {
		if err := w.settle(ctx, s); err != nil {
			return nil, fmt.Errorf("ending a change of the container's networks that failed: %w", err)
		}
		s, ok = w.sandboxes.Get(id)
	}
	if !ok || !s.Ready {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s has no network", id))
	}
	return s, nil
}

// lead gives the first endpoint of after the default route, and the published
// ports: those that before's first had, or those of publish if none had any.
func (w *wirer) lead(ctx context.Context, before, after *sandbox.Sandbox, publish network.PortMap) error {
	if err := route(after); err != nil {
		return err
	}
	was, is := before.Publisher(), after.Publisher()
	if was == is && (is == "" || len(after.Bindings) > 0) {
		return nil
	}
	if err := w.movePorts(ctx, before, after, is, publish); err != nil {
		return err
	}
	if was != "" && len(before.Bindings) > 0 {
		if err := w.firewall.Unpublish(ctx, was); err != nil {
			return err
		}
	}
	owner, mappings := after.Published()
	if len(mappings) == 0 {
		return nil
	}
	return w.firewall.Publish(ctx, owner, mappings)
}

// Rename gives a container another name: in messages, in network inspect, and
// for those who ask for it. named are the names that it has now, by the engine's
// names of networks. It answers with the container's endpoints.
func (w *wirer) Rename(ctx context.Context, id, name string, named map[string]*network.EndpointSettings) (map[string]*network.EndpointSettings, error) {
	s, err := w.complete(ctx, id)
	if err != nil {
		return nil, err
	}
	renamed := s.Copy()
	renamed.Name = name
	for i := range renamed.Endpoints {
		e := &renamed.Endpoints[i]
		if n := named[e.Ref]; n != nil {
			e.Settings = e.Settings.Copy()
			e.Settings.DNSNames = n.DNSNames
		}
	}
	if err := w.sandboxes.Put(renamed); err != nil {
		return nil, err
	}
	return renamed.Settings(), w.names.announce(ctx, renamed)
}
