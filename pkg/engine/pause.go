package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/health"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Pause freezes a running container's processes. Conflict: not running, or
// paused already.
func (e *Engine) Pause(ctx context.Context, ref string) error {
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	return u.Do(ctx, func(ctx context.Context) error {
		switch u.Status().State {
		case container.Running:
		case container.Paused:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is already paused", u.ID))
		case container.Restarting:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", u.ID))
		default:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.ID))
		}
		if err := e.freezer.tasks.PauseTask(ctx, u.ID); err != nil {
			return fmt.Errorf("cannot pause container %s: %w", u.ID, err)
		}
		e.freezer.suspended(u)
		return nil
	})
}

// Unpause thaws a paused container. Conflict: it is not paused.
func (e *Engine) Unpause(ctx context.Context, ref string) error {
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	return u.Do(ctx, func(ctx context.Context) error {
		if u.Status().State != container.Paused {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is not paused", u.ID))
		}
		if err := e.freezer.tasks.ResumeTask(ctx, u.ID); err != nil {
			return fmt.Errorf("cannot unpause container %s: %w", u.ID, err)
		}
		e.freezer.resumed(u)
		return nil
	})
}

// freezer notes pauses and thaws, by us or by another containerd client.
type freezer struct {
	tasks  taskControl
	probes *health.Monitor
	writer *unit.Writer
	events Publisher
}

// suspended notes that the task was frozen. Owner only.
func (f *freezer) suspended(u *unit.Unit) {
	if u.Status().State != container.Running {
		return
	}
	f.probes.Unwatch(u.ID)
	status := u.Status().Suspended()
	status.Health = health.Ceased(status.Health)
	u.Set(status)
	f.writer.Later(u.ID)
	f.events.Publish(u.Event(events.ActionPause, nil))
}

// resumed notes the thaw. Owner only.
func (f *freezer) resumed(u *unit.Unit) {
	if u.Status().State != container.Paused {
		return
	}
	u.Set(u.Status().Resumed())
	f.probes.Watch(u)
	f.writer.Later(u.ID)
	f.events.Publish(u.Event(events.ActionUnPause, nil))
}
