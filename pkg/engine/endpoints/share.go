package endpoints

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
)

// Owner finds the container whose network r is in: its own, or that which
// container:REF leads to in the end.
func (e *Endpoints) Owner(r *container.Record) (*unit.Unit, error) {
	seen := map[string]bool{r.ID: true}
	for {
		u, err := e.Units.Find(r.HostConfig.NetworkMode.ConnectedContainer())
		if err != nil {
			// No NotFound: it would be taken for that of the container itself.
			return nil, errors.New(err.Error())
		}
		if seen[u.ID] {
			return nil, errors.New("cannot join own network namespace")
		}
		seen[u.ID] = true
		if r = u.View().Record; !r.HostConfig.NetworkMode.IsContainer() {
			return u, nil
		}
	}
}

// Join puts a container that starts into the network of another, which keeps it
// until Leave, also when its owner ends or begins anew.
func (e *Endpoints) Join(ctx context.Context, r *container.Record) (container.Sandbox, error) {
	owner, err := e.Owner(r)
	if err != nil {
		return container.Sandbox{}, err
	}
	// On its goroutine, so that it does not end in between. It never waits for
	// one that joins: it is in no other's network.
	out := container.Sandbox{Owner: owner.ID}
	err = owner.Do(ctx, func(context.Context) error {
		v := owner.View()
		switch s := v.Status; {
		case s.State == container.Restarting:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
				"cannot join network namespace of container: Container %s is restarting, wait until the container is running", v.Record.ID))
		case !s.Live():
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf(
				"cannot join network namespace of a non running container: container %s is %s", v.Record.Name, s.State))
		}
		e.share(owner.ID, r.ID)
		out.Key = v.Status.Sandbox.Key
		return nil
	})
	return out, err
}

func (e *Endpoints) share(owner, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sharers[owner] == nil {
		e.sharers[owner] = map[string]bool{}
	}
	e.sharers[owner][id] = true
}

// Adopt is Join for a container that ran when the engine began. It returns who
// has the network, who may have been removed since; "" when that is not known.
func (e *Endpoints) Adopt(v *unit.View) string {
	owner := v.Status.Sandbox.Owner
	if owner == "" { // its start was not written any more
		u, err := e.Owner(v.Record)
		if err != nil {
			return ""
		}
		owner = u.ID
	}
	e.share(owner, v.Record.ID)
	return owner
}

// Leave follows the end of a container that joined another's network. The last
// one to leave takes the network with it if its owner has ended. Absent is no
// error.
func (e *Endpoints) Leave(ctx context.Context, id string) {
	owner := e.unshare(id)
	if owner == "" {
		return
	}
	ctx = context.WithoutCancel(ctx)
	release := func() {
		if err := e.Release(ctx, owner); err != nil {
			e.Logger.Error("network of an ended container could not be released", "container", owner, "error", err)
		}
	}
	u := e.Units.Get(owner)
	if u == nil || !u.Post(func() {
		if !u.Status().Live() {
			release()
		}
	}) {
		release() // it was removed
	}
}

// TellSharers has those in a container's network answer the names of what networks
// it is on now.
func (e *Endpoints) TellSharers(ctx context.Context, owner string) {
	e.mu.Lock()
	ids := slices.Collect(maps.Keys(e.sharers[owner]))
	e.mu.Unlock()
	for _, id := range ids {
		// One that asks name servers itself, or ends, has nothing to be told.
		if err := e.Tell(ctx, id); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err) {
			e.Logger.Warn("a container that shares a network may lose its names when that one's owner ends", "container", id, "error", err)
		}
	}
}

// unshare returns the owner if id was the last in its network.
func (e *Endpoints) unshare(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for owner, ids := range e.sharers {
		if !ids[id] {
			continue
		}
		if delete(ids, id); len(ids) == 0 {
			delete(e.sharers, owner)
			return owner
		}
	}
	return ""
}

// Release removes the network of a container that has ended, unless others are
// in it.
func (e *Endpoints) Release(ctx context.Context, id string) error {
	e.mu.Lock()
	shared := len(e.sharers[id]) > 0
	e.mu.Unlock()
	if shared {
		return nil
	}
	return e.Networks.Teardown(ctx, id)
}
