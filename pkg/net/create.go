package net

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// maker makes and removes networks.
type maker struct {
	networks  *registry
	sandboxes *sandbox.Store // say which are used
	firewall  *firewall.Table
	links     *bridge.Deleter
	plugins   *cni.Set
	events    func(events.Message)
}

// Create makes a network. Conflict when one of its name exists;
// InvalidArgument, PermissionDenied and NotFound in Docker's words for what
// cannot be.
//
// The file comes first: a crash behind it leaves a network, which is complete
// at the next start, and before it nothing.
func (m *maker) Create(ctx context.Context, q network.CreateRequest) (network.CreateResponse, error) {
	n, err := define.New(m.networks.cfg.withDefaults(q), drivers(), m.networks.configuration)
	if err != nil {
		return network.CreateResponse{}, err
	}
	// Networks are made and removed one at a time, of all daemons of this host,
	// because the bridges carry the choice of subnets.
	unlock, err := lockLinks()
	if err != nil {
		return network.CreateResponse{}, err
	}
	defer unlock()
	e, err := m.networks.plan(n)
	if err != nil {
		return network.CreateResponse{}, err
	}
	if err := m.make(ctx, e); err != nil {
		return network.CreateResponse{}, errors.Join(err, m.unmake(ctx, e))
	}
	m.networks.add(e)
	m.publish(events.ActionCreate, e)
	return network.CreateResponse{ID: e.net.ID}, nil
}

// withDefaults adds the daemon's options of the driver to those that were asked for.
func (c *Config) withDefaults(q network.CreateRequest) network.CreateRequest {
	defaults := c.NetworkOptions[cmp.Or(q.Driver, define.DriverBridge)]
	if len(defaults) == 0 || q.ConfigFrom != nil && q.ConfigFrom.Network != "" {
		return q // a configuration-only network says all
	}
	options := maps.Clone(defaults)
	maps.Copy(options, q.Options)
	q.Options = options
	return q
}

// configuration finds a configuration-only network.
func (r *registry) configuration(name string) (network.Network, bool) {
	n, ok := r.byExactName(name)
	if !ok || !n.net.ConfigOnly {
		return network.Network{}, false
	}
	return n.copy(), true
}

// plan completes the definition of a new network. The caller has locked the
// host's links.
func (r *registry) plan(n network.Network) (*entry, error) {
	if _, exists := r.byExactName(n.Name); exists {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("network with name %s already exists", n.Name))
	}
	n.ID = newID()
	if n.ConfigOnly {
		return r.entryOf(n)
	}
	host, err := ipam.HostPrefixes("")
	if err != nil {
		return nil, err
	}
	taken := define.Taken{Host: host}
	for _, other := range r.all() {
		for _, c := range other.net.IPAM.Config {
			if !other.net.ConfigOnly {
				taken.Networks = append(taken.Networks, c.Subnet)
			}
		}
	}
	if err := define.Address(&n, r.cfg.Pools, taken); err != nil {
		return nil, err
	}
	e, err := r.entryOf(n)
	if err != nil {
		return nil, err
	}
	if err := r.ownParent(e); err != nil {
		return nil, err
	}
	return e, r.ownBridge(e)
}

// ownBridge refuses another network's bridge, and notes when it is the host's.
func (r *registry) ownBridge(e *entry) error {
	if e.bridge == nil {
		return nil
	}
	for _, other := range r.all() {
		if other.bridge != nil && other.bridge.Name == e.bridge.Name {
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(
				"cannot create network %s (%s): conflicts with network %s (%s): networks have same bridge name",
				e.net.ID, e.bridge.Name, other.net.ID, other.bridge.Name))
		}
	}
	var err error
	e.foreign, err = bridge.Exists(e.bridge.Name)
	return err
}

// make brings a planned network into being.
func (m *maker) make(ctx context.Context, e *entry) error {
	if err := m.networks.save(e); err != nil {
		return err
	}
	if err := e.ensure(); err != nil || e.bridge == nil {
		return err
	}
	return m.firewall.AddNetwork(ctx, *e.rules)
}

// unmake takes back what make made, the file last: until then the next start
// finds what is left. Absent is no error.
func (m *maker) unmake(ctx context.Context, e *entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if e.bridge != nil {
		if err := m.unmakeBridge(ctx, e); err != nil {
			return err
		}
	}
	if e.parent != nil {
		if err := m.unmakeParent(e); err != nil {
			return err
		}
	}
	return m.networks.files.Remove(e.net.Name)
}

func (m *maker) unmakeBridge(ctx context.Context, e *entry) error {
	if e.foreign {
		if err := e.bridge.Leave(); err != nil {
			return err
		}
	} else if err := m.links.Delete(e.bridge.Name); err != nil {
		return err
	}
	if err := m.firewall.RemoveNetwork(ctx, e.bridge.Name); err != nil {
		return err
	}
	m.plugins.Forget(e.leases)
	return removeAll(e.leases)
}

// publish tells of a change of a network.
func (m *maker) publish(action events.Action, e *entry) {
	m.events(events.Message{
		Type: events.NetworkEventType, Action: action, Scope: e.net.Scope,
		Actor: events.Actor{ID: e.net.ID, Attributes: map[string]string{"name": e.net.Name, "type": e.net.Driver}},
	})
}
