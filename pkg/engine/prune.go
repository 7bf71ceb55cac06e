package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/query"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Prune removes the containers that do not run and pass the filters, newest
// first, and says how many bytes their own layers had. Their volumes stay. One
// that cannot be removed stays, too. Conflict: another prune is under way. When
// ctx ends it is what was done so far.
func (e *Engine) Prune(ctx context.Context, f filters.Args) (ctypes.PruneReport, error) {
	test, err := query.Prunable(f, time.Now())
	if err != nil {
		return ctypes.PruneReport{}, err
	}
	if !e.remover.pruning.CompareAndSwap(false, true) {
		return ctypes.PruneReport{}, errdefs.ErrConflict.WithMessage("a prune operation is already running")
	}
	defer e.remover.pruning.Store(false)
	return e.remover.prune(ctx, test), nil
}

func (r *remover) prune(ctx context.Context, test func(*unit.View) bool) (report ctypes.PruneReport) {
	units := r.units.All()
	slices.SortFunc(units, func(a, b *unit.Unit) int { return b.View().Record.Created.Compare(a.View().Record.Created) })
	for _, u := range units {
		if ctx.Err() != nil {
			break
		}
		if !test(u.View()) {
			continue
		}
		size, _, err := r.tasks.RootfsSize(ctx, u.ID)
		if ignoreNotFound(err) != nil {
			r.log.Warn("size of a container to be pruned is unknown", "container", u.ID, "error", err)
		}
		err = u.Do(ctx, func(ctx context.Context) error {
			if err := removable(u, u.ID); err != nil {
				return err
			}
			return r.now(ctx, u, RemoveOptions{})
		})
		if err != nil {
			r.log.Warn("container could not be pruned", "container", u.ID, "error", err)
			continue
		}
		report.ContainersDeleted = append(report.ContainersDeleted, u.ID)
		report.SpaceReclaimed += uint64(max(size, 0))
	}
	r.events.Publish(events.Message{
		Type: events.ContainerEventType, Action: events.ActionPrune, Scope: "local",
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(report.SpaceReclaimed, 10)}},
	})
	return report
}

// removable says why a container cannot be removed. Owner only.
func removable(u *unit.Unit, ref string) error {
	name := "/" + u.View().Record.Name
	switch s := u.Status(); {
	case s.State == container.Removing:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("removal of container %s is already in progress", ref))
	case s.State == container.Paused:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: container is paused and must be unpaused first", name))
	case s.Active():
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot remove container %q: container is %s: stop the container before removing or force remove", name, s.State))
	}
	return nil
}
