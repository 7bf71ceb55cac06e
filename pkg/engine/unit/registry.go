package unit

import (
	"fmt"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
)

// Registry finds containers by ID, name and prefix.
type Registry struct {
	mu    sync.RWMutex     // guards both maps; never held across IO
	byID  map[string]*Unit // by full ID
	names map[string]string
}

// NewRegistry makes an empty one.
func NewRegistry() *Registry {
	return &Registry{byID: map[string]*Unit{}, names: map[string]string{}}
}

// Reserve takes a name for an ID before anything is made. Conflict, in Docker's
// words, when another container has it.
func (r *Registry) Reserve(name, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.freeLocked(name, id); err != nil {
		return err
	}
	r.names[name] = id
	return nil
}

// Free says, as Reserve would, whether a name may be had by a new container.
func (r *Registry) Free(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.freeLocked(name, "")
}

func (r *Registry) freeLocked(name, id string) error {
	if holder, taken := r.names[name]; taken && holder != id {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, holder))
	}
	return nil
}

// Release gives a name back, if id still has it.
func (r *Registry) Release(name, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[name] == id {
		delete(r.names, name)
	}
}

// Add makes a container known, and the names that it gives to others by links.
func (r *Registry) Add(u *Unit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[u.ID] = u
	record := u.View().Record
	for _, l := range record.Links {
		r.names[l.Full(record.Name)[1:]] = l.ID
	}
}

// Relink gives a container's links their names after it was published with a new
// name or other links; old is what it was before.
func (r *Registry) Relink(u *Unit, old *container.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range old.Links {
		delete(r.names, l.Full(old.Name)[1:])
	}
	record := u.View().Record
	for _, l := range record.Links {
		r.names[l.Full(record.Name)[1:]] = l.ID
	}
}

// Remove forgets a container and gives its names back.
func (r *Registry) Remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u := r.byID[id]; u != nil {
		record := u.View().Record
		for _, l := range record.Links {
			delete(r.names, l.Full(record.Name)[1:])
		}
	}
	delete(r.byID, id)
	for name, holder := range r.names {
		if holder == id {
			delete(r.names, name)
		}
	}
}

// Get finds by full ID; nil when there is none.
func (r *Registry) Get(id string) *Unit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// All is every container, in no order.
func (r *Registry) All() []*Unit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*Unit, 0, len(r.byID))
	for _, u := range r.byID {
		out = append(out, u)
	}
	return out
}

// Named is the container whose hostname and whose files of names r has: its own, or
// those of whose network it joins.
func (r *Registry) Named(of *container.Record) *container.Record {
	for seen := map[string]bool{}; of.HostConfig.NetworkMode.IsContainer() && !seen[of.ID]; {
		seen[of.ID] = true
		if u, err := r.Find(of.HostConfig.NetworkMode.ConnectedContainer()); err == nil {
			of = u.View().Record
		}
	}
	return of
}

// Find resolves what a user typed, in Docker's order: full ID, name, prefix of
// an ID. NotFound; InvalidArgument: the prefix of several.
func (r *Registry) Find(ref string) (*Unit, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if ref == "" {
		return nil, errdefs.ErrInvalidArgument.WithMessage("No container name or ID supplied")
	}
	if u := r.byID[ref]; u != nil {
		return u, nil
	}
	if u := r.byID[r.names[strings.TrimPrefix(ref, "/")]]; u != nil {
		return u, nil
	}
	var found *Unit
	for id, u := range r.byID {
		if !strings.HasPrefix(id, ref) {
			continue
		}
		if found != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage("multiple IDs found with provided prefix: " + ref)
		}
		found = u
	}
	if found == nil {
		return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
	}
	return found, nil
}
