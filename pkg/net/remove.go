package net

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
)

// Remove deletes a network. PermissionDenied when it is predefined, an
// operator's, or has endpoints, whose containers the message names.
func (m *maker) Remove(ctx context.Context, ref string) error {
	unlock, err := lockLinks()
	if err != nil {
		return err
	}
	defer unlock()
	e, err := m.takeOut(ref)
	if err != nil {
		return err
	}
	if err := m.unmake(ctx, e); err != nil {
		m.networks.add(e)
		return fmt.Errorf("error while removing network: %w", err)
	}
	if !e.net.ConfigOnly {
		m.publish(events.ActionDestroy, e)
	}
	return nil
}

// takeOut takes a network that nothing uses out of the registry, so that nothing
// can begin to use it.
func (m *maker) takeOut(ref string) (*entry, error) {
	r := m.networks
	r.mu.Lock()
	defer r.mu.Unlock()
	e, err := r.findLocked(ref)
	if err != nil {
		return nil, err
	}
	reason := ""
	switch {
	case e.predefined:
		reason = e.net.Name + " is a pre-defined network and cannot be removed"
	case e.operator:
		reason = fmt.Sprintf("network %s is described by a file of the operator's, and goes with it", e.net.Name)
	case e.net.ConfigOnly && r.dependentsLocked(e.net.Name) != "":
		reason = fmt.Sprintf("error while removing network: configuration network %q is in use by %s", e.net.Name, r.dependentsLocked(e.net.Name))
	default:
		if users := m.users(e.net.Name); len(users) > 0 || r.held[e.net.Name] > 0 {
			reason = fmt.Sprintf("error while removing network: network %s has active endpoints (%s)", e.net.Name, strings.Join(users, ", "))
		}
	}
	if reason != "" {
		return nil, errdefs.ErrPermissionDenied.WithMessage(reason)
	}
	delete(r.byName, e.net.Name)
	return e, nil
}

// dependentsLocked names the networks made from a configuration-only one.
func (r *registry) dependentsLocked(name string) string {
	var names []string
	for _, n := range r.byName {
		if n.net.ConfigFrom.Network == name {
			names = append(names, n.net.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// users names the endpoints on a network as Docker's messages do.
func (m *maker) users(name string) (out []string) {
	for _, s := range m.sandboxes.All() {
		for _, e := range s.Endpoints {
			if e.Network == name {
				out = append(out, fmt.Sprintf("name:%q id:%q", s.Name, e.Settings.EndpointID[:12]))
			}
		}
	}
	slices.Sort(out)
	return out
}

// Prune removes the networks that nothing uses and f lets through. Filters:
// label, label!, until.
func (m *maker) Prune(ctx context.Context, f filters.Args) (network.PruneReport, error) {
	if err := f.Validate("label", "label!", "until"); err != nil {
		return network.PruneReport{}, err
	}
	until, err := f.Until(time.Now())
	if err != nil {
		return network.PruneReport{}, err
	}
	out := network.PruneReport{NetworksDeleted: []string{}}
	for _, name := range slices.Sorted(maps.Keys(m.prunable(f, until))) {
		if ctx.Err() != nil {
			break // what is gone is told
		}
		// One that began to be used, or went, since is left alone.
		if err := m.Remove(ctx, name); err == nil {
			out.NetworksDeleted = append(out.NetworksDeleted, name)
		}
	}
	m.events(events.Message{Type: events.NetworkEventType, Action: events.ActionPrune, Scope: "local",
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": "0"}}})
	return out, nil
}

func (m *maker) prunable(f filters.Args, until time.Time) map[string]bool {
	out := map[string]bool{}
	for _, n := range m.networks.all() {
		switch {
		case n.predefined, n.operator, n.net.ConfigOnly:
		case !until.IsZero() && !n.net.Created.Before(until):
		case !f.MatchLabels("label", n.net.Labels):
		case f.Has("label!") && f.MatchLabels("label!", n.net.Labels):
		default:
			out[n.net.Name] = true
		}
	}
	for _, s := range m.sandboxes.All() {
		for _, e := range s.Endpoints {
			delete(out, e.Network)
		}
	}
	return out
}

// removeAll is os.RemoveAll of a folder that a network may not have.
func removeAll(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}
