package net

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/moby/moby/api/types/network"
)

// Teardown removes the sandbox of container id and all that Setup made for it;
// when it returns, the interfaces are gone, too. Absent is no error. After an
// error it can be called again.
func (w *wirer) Teardown(ctx context.Context, id string) error {
	s, ok := w.sandboxes.Get(id)
	if !ok {
		// Ports are bound before the record is written.
		w.ports.Release(id)
		return nil
	}
	err := errors.Join(w.names.forget(ctx, id), w.links.part(ctx, s, true), w.detachAll(ctx, s))
	if s.Key != "" {
		err = errors.Join(err, bridge.DeleteNetNS(s.Key))
	}
	if err != nil {
		return err
	}
	w.release(ctx, s)
	return w.sandboxes.Remove(id)
}

// clear is Teardown but for the namespace; kept says that there is one.
func (w *wirer) clear(ctx context.Context, id string) (kept bool, err error) {
	s, ok := w.sandboxes.Get(id)
	if !ok || s.Key == "" || !bridge.IsNetNS(s.Key) {
		return false, w.Teardown(ctx, id)
	}
	if err := errors.Join(w.names.forget(ctx, id), w.links.part(ctx, s, true), w.detachAll(ctx, s)); err != nil {
		return false, err
	}
	w.release(ctx, s)
	return true, w.sandboxes.Put(&sandbox.Sandbox{ID: s.ID, Name: s.Name, Key: s.Key})
}

func (w *wirer) detachAll(ctx context.Context, s *sandbox.Sandbox) (err error) {
	for i := len(s.Endpoints) - 1; i >= 0; i-- {
		err = errors.Join(err, w.detach(ctx, s, i))
	}
	return err
}

func (w *wirer) detach(ctx context.Context, s *sandbox.Sandbox, i int) error {
	rt := s.RuntimeConf(i)
	if list := w.listOf(s.Endpoints[i].Network, rt); list != nil {
		return cni.Cause(w.cni.DelNetworkList(ctx, list, rt))
	}
	w.log.Warn("an endpoint's network is not known any more; the endpoint goes with its namespace",
		"container", s.ID, "network", s.Endpoints[i].Network)
	return nil
}

// listOf returns the network's conflist, or the one that the endpoint was made
// with if the network is gone or an operator's; nil if none is known.
func (w *wirer) listOf(name string, rt *libcni.RuntimeConf) *libcni.NetworkConfigList {
	n, known := w.networks.byExactName(name)
	if known && !n.operator { // whose list may have changed since
		return n.list
	}
	b, _, err := w.cni.GetNetworkListCachedConfig(&libcni.NetworkConfigList{Name: name}, rt)
	if err == nil && b != nil {
		if list, err := libcni.NetworkConfFromBytes(b); err == nil {
			return list
		}
	}
	if known {
		return n.list
	}
	return nil
}

// Restore returns what Setup did for a sandbox that still exists. ok is false
// when there is none, or its Setup never ended.
func (w *wirer) Restore(id string) (key string, made map[string]*network.EndpointSettings, bound network.PortMap, ok bool) {
	s, ok := w.sandboxes.Get(id)
	if !ok || !s.Ready {
		return "", nil, nil, false
	}
	return s.Key, s.Settings(), s.Bound(), true
}

// Reconcile removes everything that belongs to no container in live: sandboxes,
// namespaces, interfaces, leases, published ports, libcni's notes. It is for
// boot, before the first Setup.
func (w *wirer) Reconcile(ctx context.Context, live []string) error {
	keep := map[string]bool{}
	for _, id := range live {
		keep[id] = true
	}
	var err error
	for id, s := range w.sandboxes.All() {
		if !keep[id] {
			err = errors.Join(err, w.Teardown(ctx, id))
		} else {
			err = errors.Join(err, w.settle(ctx, s))
		}
	}
	err = errors.Join(err, w.removeNamespaces(keep))
	valid := map[string][]types.GCAttachment{}
	for _, s := range w.sandboxes.All() {
		for _, e := range s.Endpoints {
			valid[e.Network] = append(valid[e.Network], types.GCAttachment{ContainerID: s.ID, IfName: e.IfName})
		}
	}
	for _, n := range w.networks.all() {
		if n.bridge == nil {
			continue // nothing of ours can be left; an operator's network is not ours alone
		}
		all := valid[n.net.Name]
		if all == nil {
			all = []types.GCAttachment{}
		}
		err = errors.Join(err, cni.Cause(w.cni.GCNetworkList(ctx, n.list, &libcni.GCArgs{ValidAttachments: all})))
	}
	return err
}

// removeNamespaces drops pins without a container.
func (w *wirer) removeNamespaces(keep map[string]bool) error {
	pins, err := os.ReadDir(w.dirs.pins())
	if err != nil {
		return err
	}
	for _, p := range pins {
		id := p.Name()
		if strings.HasPrefix(id, ".") || utils.ValidateContainerID(id) != nil || keep[id] {
			continue
		}
		if _, known := w.sandboxes.Get(id); !known {
			err = errors.Join(err, bridge.DeleteNetNS(w.dirs.pin(id)))
		}
	}
	return err
}
