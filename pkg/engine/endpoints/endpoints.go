// Package endpoints connects containers to networks and takes them off, and
// knows which containers share another's network.
package endpoints

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// Networks changes the sandboxes of running containers.
type Networks interface {
	Lookup(ref string) (network.Network, error)
	// Check says whether a container may have such an endpoint.
	Check(ref string, settings *network.EndpointSettings) error
	// Connect adds an endpoint, Disconnect takes one away, which need not be there.
	// They answer with all of the container's. After an error Connect has changed
	// nothing, and an endpoint that did not go entirely goes with the next change.
	// publish are the ports
	// that it wants, which may become or cease to be possible.
	Connect(ctx context.Context, id, ref string, settings *network.EndpointSettings, publish network.PortMap) (made map[string]*network.EndpointSettings, bound network.PortMap, err error)
	Disconnect(ctx context.Context, id, ref string, publish network.PortMap) (made map[string]*network.EndpointSettings, bound network.PortMap, err error)
	// Rename gives a running container another name, and on its networks those in
	// named. It answers with its endpoints.
	Rename(ctx context.Context, id, name string, named map[string]*network.EndpointSettings) (made map[string]*network.EndpointSettings, err error)
	sandboxes
}

type sandboxes interface {
	Teardown(ctx context.Context, id string) error // idempotent
}

// Config is what New needs.
type Config struct {
	Units    *unit.Registry
	Networks Networks
	Writer   *unit.Writer
	// Refresh rewrites the files of a running container that tell of its
	// networks, where they change.
	Refresh func(r *container.Record, before, after container.Sandbox) error
	// Tell has a running container's shim look whether its networks have names.
	Tell   func(ctx context.Context, id string) error
	Events interface{ Publish(events.Message) }
	Logger *slog.Logger
}

// Endpoints are those of all containers.
type Endpoints struct {
	Config

	mu sync.Mutex // guards sharers
	// sharers are the running containers in another's network, by who has it.
	sharers map[string]map[string]bool
}

// New knows of no container yet.
func New(c Config) *Endpoints {
	return &Endpoints{Config: c, sharers: map[string]map[string]bool{}}
}

// Connect gives a container an endpoint on a network: at once if it runs, else
// with its next start. Like Docker it does nothing for a container at rest that
// has one.
func (e *Endpoints) Connect(ctx context.Context, networkRef, containerRef string, settings *network.EndpointSettings) error {
	u, err := e.Units.Find(containerRef)
	if err != nil {
		return err
	}
	if settings = settings.Copy(); settings == nil {
		settings = &network.EndpointSettings{}
	}
	return u.Do(ctx, func(ctx context.Context) error { return e.connect(ctx, u, networkRef, settings) })
}

// connect is the owner's part of Connect.
func (e *Endpoints) connect(ctx context.Context, u *unit.Unit, ref string, settings *network.EndpointSettings) error {
	v := u.View()
	n, err := e.connectable(v, ref)
	if err != nil {
		return err
	}
	if _, has := v.Record.Endpoints[n.Name]; has && !v.Status.Live() {
		return nil
	}
	if err := e.Networks.Check(n.Name, settings); err != nil {
		return err
	}
	settings.NetworkID, settings.DNSNames = n.ID, nil
	r := *v.Record
	r.Endpoints = maps.Clone(r.Endpoints)
	if r.Endpoints == nil {
		r.Endpoints = map[string]*network.EndpointSettings{}
	}
	r.Endpoints[n.Name] = settings
	status := v.Status
	if status.Live() {
		publish, err := request.Ports(&r)
		if err != nil {
			return err
		}
		made, bound, err := e.Networks.Connect(ctx, u.ID, n.Name, r.Named()[n.Name], publish)
		if err != nil {
			return err
		}
		status.Sandbox.Endpoints, status.Sandbox.Ports = made, bound
	}
	if err := e.commit(ctx, u, &r, status); err != nil {
		return errors.Join(err, e.revert(ctx, u, v, func(ctx context.Context, publish network.PortMap) (map[string]*network.EndpointSettings, network.PortMap, error) {
			return e.Networks.Disconnect(ctx, u.ID, n.Name, publish)
		}))
	}
	if status.Live() {
		e.TellSharers(ctx, u.ID)
		e.publish(events.ActionConnect, n, u.ID)
	}
	return nil
}

// connectable finds a network that a container may be connected to.
func (e *Endpoints) connectable(v *unit.View, ref string) (n network.Network, err error) {
	if v.Status.Gone() {
		return n, leaving(v)
	}
	shared := errdefs.ErrInvalidArgument.WithMessage("container sharing network namespace with another container or host cannot be connected to any other network")
	if v.Record.HostConfig.NetworkMode.IsContainer() {
		return n, shared
	}
	if n, err = e.Networks.Lookup(ref); err != nil {
		return n, err
	}
	if n.Driver == "host" && !v.Record.HostConfig.NetworkMode.IsHost() {
		return n, errdefs.ErrInvalidArgument.WithMessage("cannot connect container to host network - container must be created in host network mode")
	}
	for name := range v.Record.Endpoints {
		has, err := e.Networks.Lookup(name)
		switch {
		case err != nil || has.ID == n.ID: // gone, or the same: that is answered later
		case has.Driver == "host" || n.Driver == "host":
			return n, shared
		case has.Driver == "null" || n.Driver == "null":
			return n, errdefs.ErrInvalidArgument.WithMessage("container cannot be connected to multiple networks with one of the networks in private (none) mode")
		}
	}
	return n, nil
}

func leaving(v *unit.View) error {
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
		"container %s is marked for removal and cannot be connected or disconnected to the network", v.Record.ID))
}

// Disconnect takes a container off a network. With force it also forgets a
// network that does not exist any more.
func (e *Endpoints) Disconnect(ctx context.Context, networkRef, containerRef string, force bool) error {
	u, err := e.Units.Find(containerRef)
	if err != nil {
		return err
	}
	return u.Do(ctx, func(ctx context.Context) error { return e.disconnect(ctx, u, networkRef, force) })
}

// disconnect is the owner's part of Disconnect.
func (e *Endpoints) disconnect(ctx context.Context, u *unit.Unit, ref string, force bool) error {
	v := u.View()
	if v.Status.Gone() {
		return leaving(v)
	}
	n, err := e.Networks.Lookup(ref)
	known := err == nil
	switch {
	case known && n.Driver == "host" && v.Status.Live() && v.Record.HostConfig.NetworkMode.IsHost():
		return errdefs.ErrInvalidArgument.WithMessage("cannot disconnect container from host network - container was created in host network mode")
	case !known && (!errdefs.IsNotFound(err) || v.Status.Live() && !force):
		return err
	}
	name := ref
	if known {
		name = n.Name
	}
	if _, has := v.Record.Endpoints[name]; !has {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("container %s is not connected to network %s", u.ID, name))
	}
	r := *v.Record
	r.Endpoints = maps.Clone(r.Endpoints)
	delete(r.Endpoints, name)
	status := v.Status
	if status.Live() {
		publish, err := request.Ports(&r)
		if err != nil {
			return err
		}
		made, bound, err := e.Networks.Disconnect(ctx, u.ID, name, publish)
		if err != nil {
			return err
		}
		status.Sandbox.Endpoints, status.Sandbox.Ports = made, bound
	}
	if err := e.commit(ctx, u, &r, status); err != nil {
		return errors.Join(err, e.revert(ctx, u, v, func(ctx context.Context, publish network.PortMap) (map[string]*network.EndpointSettings, network.PortMap, error) {
			return e.Networks.Connect(ctx, u.ID, name, v.Record.Named()[name], publish)
		}))
	}
	if known {
		e.publish(events.ActionDisconnect, n, u.ID)
	}
	return nil
}

// Renamed follows another name of a container. Owner only.
func (e *Endpoints) Renamed(ctx context.Context, u *unit.Unit) {
	v := u.View()
	if !v.Status.Live() || v.Record.HostConfig.NetworkMode.IsContainer() {
		return
	}
	made, err := e.Networks.Rename(ctx, u.ID, v.Record.Name, v.Record.Named())
	if err != nil {
		e.Logger.Error("networks do not know a container's new name", "container", u.ID, "error", err)
		return
	}
	status := v.Status
	status.Sandbox.Endpoints = made
	u.Set(status)
}

// commit makes a changed container visible, its files agree, and the record
// last.
func (e *Endpoints) commit(ctx context.Context, u *unit.Unit, r *container.Record, status container.Status) error {
	before := u.View().Status.Sandbox
	u.Publish(r, status)
	if status.Live() {
		if err := e.Refresh(r, before, status.Sandbox); err != nil {
			e.Logger.Error("a container's files do not tell of its networks", "container", u.ID, "error", err)
		}
	}
	return e.Writer.Save(context.WithoutCancel(ctx), u.ID)
}

// revertTimeout bounds what is done after a request has failed.
const revertTimeout = 30 * time.Second

// revert makes a container again what it was in v, when that it has changed cannot
// be recorded. change has its sandbox be so.
func (e *Endpoints) revert(ctx context.Context, u *unit.Unit, v *unit.View, change func(context.Context, network.PortMap) (map[string]*network.EndpointSettings, network.PortMap, error)) error {
	before, status := u.View().Status.Sandbox, v.Status
	if !status.Live() {
		u.Publish(v.Record, status)
		return nil
	}
	publish, err := request.Ports(v.Record)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revertTimeout)
	defer cancel()
	made, bound, err := change(ctx, publish)
	if err != nil {
		return err
	}
	status.Sandbox.Endpoints, status.Sandbox.Ports = made, bound
	u.Publish(v.Record, status)
	return e.Refresh(v.Record, before, status.Sandbox)
}

func (e *Endpoints) publish(action events.Action, n network.Network, id string) {
	e.Events.Publish(events.Message{
		Type: events.NetworkEventType, Action: action, Scope: n.Scope,
		Actor: events.Actor{ID: n.ID, Attributes: map[string]string{"container": id, "name": n.Name, "type": n.Driver}},
	})
}
