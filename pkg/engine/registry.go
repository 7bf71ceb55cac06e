package engine

import (
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// registry finds containers by ID, name and prefix.
type registry struct {
	mu    sync.RWMutex     // guards both maps; never held across IO
	byID  map[string]*unit // by full ID
	names map[string]string
}

func newRegistry() *registry {
	return &registry{byID: map[string]*unit{}, names: map[string]string{}}
}

// reserve takes a name for an ID before anything is made. Conflict, in Docker's
// words, when another container has it.
func (r *registry) reserve(name, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if holder, taken := r.names[name]; taken && holder != id {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
			"Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, holder))
	}
	r.names[name] = id
	return nil
}

// release gives a name back, if id still has it.
func (r *registry) release(name, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[name] == id {
		delete(r.names, name)
	}
}

func (r *registry) add(u *unit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[u.id] = u
}

func (r *registry) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, id)
	for name, holder := range r.names {
		if holder == id {
			delete(r.names, name)
		}
	}
}

// get finds by full ID; nil when there is none.
func (r *registry) get(id string) *unit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

func (r *registry) all() []*unit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*unit, 0, len(r.byID))
	for _, u := range r.byID {
		out = append(out, u)
	}
	return out
}

// find resolves what a user typed, in Docker's order: full ID, name, prefix of
// an ID.
func (r *registry) find(ref string) (*unit, error) {
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
	var found *unit
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
