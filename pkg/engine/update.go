package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/engine/update"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Update changes limits and restart policy, of a container that runs at once.
// What is zero in c stays as it is. InvalidArgument: limits that contradict one
// another or the host; Conflict: they contradict what the container has.
func (e *Engine) Update(ctx context.Context, ref string, c *ctypes.UpdateConfig) (ctypes.UpdateResponse, error) {
	if err := ctypes.ValidateRestartPolicy(c.RestartPolicy); err != nil {
		return ctypes.UpdateResponse{}, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	warnings, err := spec.ValidateResources(&c.Resources, e.updater.host, true)
	if err != nil {
		return ctypes.UpdateResponse{}, err
	}
	u, err := e.units.Find(ref)
	if err != nil {
		return ctypes.UpdateResponse{}, err
	}
	err = u.Do(ctx, func(ctx context.Context) error { return e.updater.update(ctx, u, c) })
	return ctypes.UpdateResponse{Warnings: warnings}, err
}

// updater changes what containers may use.
type updater struct {
	host   spec.Host
	tasks  taskControl
	writer *unit.Writer
	events Publisher
}

// update applies c before it is recorded: limits that the kernel refuses change
// nothing. Owner only.
func (p *updater) update(ctx context.Context, u *unit.Unit, c *ctypes.UpdateConfig) error {
	v := u.View()
	if v.Status.Gone() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot update container %s: container is marked for removal and cannot be \"update\"", u.ID))
	}
	if problem := update.Contradiction(v.Record.HostConfig, c); problem != "" {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot update container %s: %s", u.ID, problem))
	}
	hc := update.Merge(v.Record.HostConfig, c)
	if v.Status.Live() {
		limits, err := spec.Resources(update.Runtime(v.Record.HostConfig, c), p.host)
		if err == nil {
			err = p.tasks.UpdateTask(ctx, u.ID, limits)
		}
		if err != nil {
			return fmt.Errorf("Cannot update container %s: %w", u.ID, err)
		}
	}
	r := *v.Record
	r.HostConfig = hc
	u.Publish(&r, u.Status())
	p.events.Publish(u.Event(events.ActionUpdate, nil))
	return p.writer.Save(ctx, u.ID)
}
