package net

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/moby/moby/api/types/network"
)

// Teardown removes the sandbox of container id and all that Setup made for it;
// when it returns, the interfaces are gone, too. Absent is no error. After an
// error it can be called again.
func (m *Manager) Teardown(ctx context.Context, id string) error {
	s, ok := m.sandboxes.get(id)
	if !ok {
		// Ports are bound before the record is written.
		m.ports.Release(id)
		return nil
	}
	err := m.detachAll(ctx, s)
	if s.Key != "" {
		err = errors.Join(err, bridge.DeleteNetNS(s.Key))
	}
	if err != nil {
		return err
	}
	m.ports.Release(id)
	return m.sandboxes.remove(id)
}

// clear is Teardown but for the namespace; kept says that there is one.
func (m *Manager) clear(ctx context.Context, id string) (kept bool, err error) {
	s, ok := m.sandboxes.get(id)
	if !ok || s.Key == "" || !bridge.IsNetNS(s.Key) {
		return false, m.Teardown(ctx, id)
	}
	if err := m.detachAll(ctx, s); err != nil {
		return false, err
	}
	m.ports.Release(id)
	return true, m.sandboxes.put(&sandbox{ID: s.ID, Name: s.Name, Key: s.Key})
}

func (m *Manager) detachAll(ctx context.Context, s *sandbox) (err error) {
	for i := len(s.Endpoints) - 1; i >= 0; i-- {
		err = errors.Join(err, m.detach(ctx, s, i))
	}
	return err
}

func (m *Manager) detach(ctx context.Context, s *sandbox, i int) error {
	rt := s.runtimeConf(i)
	if list := m.listOf(s.Endpoints[i].Network, rt); list != nil {
		return cni.Cause(m.cni.DelNetworkList(ctx, list, rt))
	}
	m.log.Warn("an endpoint's network is not known any more; the endpoint goes with its namespace",
		"container", s.ID, "network", s.Endpoints[i].Network)
	return nil
}

// listOf returns the network's conflist, or the one that the endpoint was made
// with if the network is gone; nil if that is not known either.
func (m *Manager) listOf(name string, rt *libcni.RuntimeConf) *libcni.NetworkConfigList {
	if n, ok := m.networks.byExactName(name); ok {
		return n.list
	}
	b, _, err := m.cni.GetNetworkListCachedConfig(&libcni.NetworkConfigList{Name: name}, rt)
	if err != nil || b == nil {
		return nil
	}
	list, err := libcni.NetworkConfFromBytes(b)
	if err != nil {
		return nil
	}
	return list
}

// Restore returns what Setup did for a sandbox that still exists. ok is false
// when there is none, or its Setup never ended.
func (m *Manager) Restore(id string) (key string, made map[string]*network.EndpointSettings, bound network.PortMap, ok bool) {
	s, ok := m.sandboxes.get(id)
	if !ok || !s.Ready {
		return "", nil, nil, false
	}
	return s.Key, s.settings(), s.bound(), true
}

// Reconcile removes everything that belongs to no container in live: sandboxes,
// namespaces, interfaces, leases, published ports, libcni's notes. It is for
// boot, before the first Setup.
func (m *Manager) Reconcile(ctx context.Context, live []string) error {
	keep := map[string]bool{}
	for _, id := range live {
		keep[id] = true
	}
	var err error
	for id, s := range m.sandboxes.all() {
		if !keep[id] {
			err = errors.Join(err, m.Teardown(ctx, id))
		} else {
			err = errors.Join(err, m.settle(ctx, s))
		}
	}
	err = errors.Join(err, m.removeNamespaces(keep))
	valid := map[string][]types.GCAttachment{}
	for _, s := range m.sandboxes.all() {
		for _, e := range s.Endpoints {
			valid[e.Network] = append(valid[e.Network], types.GCAttachment{ContainerID: s.ID, IfName: e.IfName})
		}
	}
	for _, n := range m.networks.all() {
		if n.bridge == nil {
			continue // nothing of ours can be left; an operator's network is not ours alone
		}
		all := valid[n.net.Name]
		if all == nil {
			all = []types.GCAttachment{}
		}
		err = errors.Join(err, cni.Cause(m.cni.GCNetworkList(ctx, n.list, &libcni.GCArgs{ValidAttachments: all})))
	}
	return err
}

// removeNamespaces drops pins without a container.
func (m *Manager) removeNamespaces(keep map[string]bool) error {
	pins, err := os.ReadDir(m.dirs.pins())
	if err != nil {
		return err
	}
	for _, p := range pins {
		id := p.Name()
		if strings.HasPrefix(id, ".") || utils.ValidateContainerID(id) != nil || keep[id] {
			continue
		}
		if _, known := m.sandboxes.get(id); !known {
			err = errors.Join(err, bridge.DeleteNetNS(m.dirs.pin(id)))
		}
	}
	return err
}
