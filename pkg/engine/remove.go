package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Remove deletes a container; a running one only by force. The record's
// deletion is the point of no return: what a crash leaves behind it is swept at
// boot. Conflict: it runs, or is being removed.
func (e *Engine) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	if o.Link {
		return e.removeLink(ctx, ref)
	}
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	killed := false
	if o.Force {
		if killed, err = e.stopper.killForRemoval(context.WithoutCancel(ctx), u); err != nil {
			return err
		}
	}
	err = u.Do(ctx, func(ctx context.Context) error {
		if err := removable(u, ref); err != nil {
			return err
		}
		return e.remover.now(ctx, u, o)
	})
	if killed && errdefs.IsNotFound(err) {
		return nil // its exit removed it: it was to be removed after its run
	}
	return err
}

// removeLink takes a link away, named "parent/alias"; both containers stay.
func (e *Engine) removeLink(ctx context.Context, ref string) error {
	child, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	parent, alias := path.Split(strings.TrimPrefix(ref, "/"))
	if parent == "" {
		return errdefs.ErrConflict.WithMessage("Conflict, cannot remove the default link name of the container")
	}
	u, err := e.units.Find(strings.TrimSuffix(parent, "/"))
	if err != nil {
		return fmt.Errorf("Cannot get parent %s for link name %s: %w", parent, ref, err)
	}
	return u.Do(ctx, func(ctx context.Context) error {
		old := u.View().Record
		r := *old
		r.Links = slices.DeleteFunc(slices.Clone(old.Links), func(l container.Link) bool { return l.Alias == alias })
		u.Publish(&r, u.Status())
		e.units.Relink(u, old)
		if err := e.starter.bundler.Relinked(ctx, u); err != nil {
			return err
		}
		e.starter.bundler.RelinkOne(u, container.Link{Alias: alias, ID: child.ID}, child.View().Record, nil)
		return e.writer.Save(ctx, u.ID)
	})
}

// remover deletes containers at rest.
type remover struct {
	layout.Layout
	units   *unit.Registry
	tasks   Tasks
	store   Store
	volumes Volumes
	events  Publisher
	log     *slog.Logger
	fault   func(name string)
	closing <-chan struct{}
	sweeps  sync.WaitGroup // of what was removed
	pruning atomic.Bool    // one prune at a time
}

// now removes a container at rest. Owner only; afterwards the owner is
// closed.
func (r *remover) now(ctx context.Context, u *unit.Unit, o RemoveOptions) error {
	if u.Status().State != container.Removing { // a removal that a crash interrupted
		u.Set(u.Status().Leaving())
	}
	u.Waiting.Drop(errdefs.ErrNotFound.WithMessage("No such container: " + u.ID))
	if o.Volumes {
		if err := r.volumes.Doom(u.ID); err != nil {
			r.log.Error("volumes of a container that is removed could not be noted: a crash now would leave them", "container", u.ID, "error", err)
		}
	}
	if err := r.store.DeleteContainer(u.ID); err != nil {
		u.Set(u.Status().Stuck(err.Error()))
		return fmt.Errorf("container %s could not be removed: %w", u.ID, err)
	}
	r.fault("remove.record")
	if err := r.volumes.Release(ctx, u.ID, o.Volumes); err != nil {
		r.log.Error("volumes of a removed container could not be released", "container", u.ID, "error", err)
	}
	r.sweeps.Add(1) // before Close can miss the container
	r.units.Remove(u.ID)
	r.events.Publish(u.Event(events.ActionDestroy, nil))
	// Wakes those who wait for the removal: the view says removing and the
	// registry no longer knows it.
	u.Set(u.Status())
	u.Close(errdefs.ErrNotFound.WithMessage("No such container: " + u.ID))
	go func() {
		defer r.sweeps.Done()
		r.sweepUntilClean(context.WithoutCancel(ctx), u.ID)
	}()
	return nil
}

// wait returns when nothing of what was removed is being swept any more.
func (r *remover) wait() { r.sweeps.Wait() }

// sweepTimeout bounds the work after a removal that nobody waits for.
const sweepTimeout = 2 * time.Minute

// A sweep that failed is tried again after sweepRetry, then after twice as long.
const (
	sweepRetry    = 200 * time.Millisecond
	sweepRetryMax = time.Minute
)

// sweepUntilClean outlasts a containerd that is away; the end of berthd it leaves
// to the next start.
func (r *remover) sweepUntilClean(ctx context.Context, id string) {
	for wait := sweepRetry; !r.sweep(ctx, id); wait = min(2*wait, sweepRetryMax) {
		select {
		case <-time.After(wait):
		case <-r.closing:
			return
		}
	}
}

// sweep drops what a container without a record still has, and reports whether all
// of it is gone. Everything in it is idempotent: recovery calls it for leftovers, too.
func (r *remover) sweep(ctx context.Context, id string) (clean bool) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	steps := []struct {
		name string
		f    func() error
	}{
		// There is one only after a start that was cut off from containerd.
		{"task", func() error { _, err := r.tasks.DeleteTask(ctx, id); return err }},
		{"containerd container", func() error { return r.tasks.RemoveContainer(ctx, id) }},
		{"root filesystem", func() error { return r.tasks.RemoveRootfs(ctx, id) }},
		{"shared memory", func() error { return spec.UnmountShm(r.Dir(id)) }},
		{"folder", func() error { return os.RemoveAll(r.Dir(id)) }},
		{"socket", func() error { return ignoreNotExist(os.Remove(r.Socket(id))) }},
	}
	clean = true
	for _, s := range steps {
		if err := s.f(); ignoreNotFound(err) != nil {
			clean = false
			r.log.Error("leftover of a removed container; it is tried again", "container", id, "what", s.name, "error", err)
		}
		r.fault("remove." + s.name)
	}
	return clean
}

func ignoreNotExist(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
