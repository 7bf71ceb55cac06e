package engine

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Remove deletes a container; a running one only by force. The record's
// deletion is the point of no return: what a crash leaves behind it is swept at
// boot. Conflict: it runs, or is being removed.
func (e *Engine) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	if o.Link {
		return errdefs.ErrNotImplemented.WithMessage("removing a link is not implemented yet")
	}
	if o.Force {
		if err := e.killForRemoval(context.WithoutCancel(ctx), u); err != nil {
			return err
		}
	}
	return u.do(ctx, func(ctx context.Context) error {
		switch s := u.status(); {
		case s.State == container.Removing:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("removal of container %s is already in progress", ref))
		case s.State == container.Paused:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: container is paused and must be unpaused first", "/"+u.view().record.Name))
		case s.Active():
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: container is %s: stop the container before removing or force remove", "/"+u.view().record.Name, s.State))
		}
		return e.removeNow(ctx, u, o)
	})
}

// killForRemoval ends what runs, without the stop signal and its delay.
func (e *Engine) killForRemoval(ctx context.Context, u *unit) error {
	var stops uint64
	live := false
	err := u.do(ctx, func(ctx context.Context) error {
		s := u.status()
		if !s.Active() {
			return nil
		}
		stops = s.Stops
		s.ByHand = true
		u.set(s)
		if s.State == container.Restarting {
			e.cancelRestart(u)
			return nil
		}
		live = true
		return e.signal(ctx, u, syscall.SIGKILL)
	})
	if err != nil || !live {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if _, err := u.until(wait, func(v *view) bool { return v.status.Stops > stops || v.status.Gone() }); err != nil {
		return fmt.Errorf("cannot remove container %q: could not kill container: no exit event within %s", "/"+u.view().record.Name, killTimeout)
	}
	return nil
}

// removeNow removes a container at rest. Owner only; afterwards the owner is
// closed.
func (e *Engine) removeNow(ctx context.Context, u *unit, o RemoveOptions) error {
	if u.status().Gone() {
		return nil // by its own exit, meanwhile
	}
	u.set(u.status().Leaving())
	e.dropWaiting(u, errdefs.ErrNotFound.WithMessage("No such container: "+u.id))
	if err := e.Store.DeleteContainer(u.id); err != nil {
		u.set(u.status().Stuck(err.Error()))
		return fmt.Errorf("container %s could not be removed: %w", u.id, err)
	}
	e.FaultPoint("remove.record")
	if err := e.Volumes.Release(ctx, u.id, o.Volumes); err != nil {
		e.Logger.Error("volumes of a removed container could not be released", "container", u.id, "error", err)
	}
	e.units.remove(u.id)
	e.publish(u, events.ActionDestroy, nil)
	// Wakes those who wait for the removal: the view says removing and the
	// registry no longer knows it.
	u.set(u.status())
	u.owner.Close(errdefs.ErrNotFound.WithMessage("No such container: " + u.id))
	e.workers.Go(func() { e.sweep(context.WithoutCancel(ctx), u.id) })
	return nil
}

// sweepTimeout bounds the work after a removal that nobody waits for.
const sweepTimeout = 2 * time.Minute

// sweep drops what a container without a record still has. Everything in it is
// idempotent: recovery calls it for leftovers, too.
func (e *Engine) sweep(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	steps := []struct {
		name string
		f    func() error
	}{
		{"containerd container", func() error { return e.Tasks.RemoveContainer(ctx, id) }},
		{"root filesystem", func() error { return e.Tasks.RemoveRootfs(ctx, id) }},
		{"shared memory", func() error { return spec.UnmountShm(e.dir(id)) }},
		{"folder", func() error { return os.RemoveAll(e.dir(id)) }},
		{"socket", func() error { return ignoreNotExist(os.Remove(e.socket(id))) }},
	}
	for _, s := range steps {
		if err := s.f(); ignoreNotFound(err) != nil {
			e.Logger.Error("leftover of a removed container; the next start of berthd tries again", "container", id, "what", s.name, "error", err)
		}
		e.FaultPoint("remove." + s.name)
	}
}

func ignoreNotExist(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
