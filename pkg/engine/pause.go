package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Pause freezes a running container's processes. Conflict: not running, or
// paused already.
func (e *Engine) Pause(ctx context.Context, ref string) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	return u.do(ctx, func(ctx context.Context) error {
		switch u.status().State {
		case container.Running:
		case container.Paused:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is already paused", u.id))
		case container.Restarting:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is restarting, wait until the container is running", u.id))
		default:
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.id))
		}
		if err := e.Tasks.PauseTask(ctx, u.id); err != nil {
			return fmt.Errorf("cannot pause container %s: %w", u.id, err)
		}
		e.suspended(u)
		return nil
	})
}

// Unpause thaws a paused container. Conflict: it is not paused.
func (e *Engine) Unpause(ctx context.Context, ref string) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	return u.do(ctx, func(ctx context.Context) error {
		if u.status().State != container.Paused {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not paused", u.id))
		}
		if err := e.Tasks.ResumeTask(ctx, u.id); err != nil {
			return fmt.Errorf("cannot unpause container %s: %w", u.id, err)
		}
		e.resumed(u)
		return nil
	})
}

// suspended notes that the task was frozen, by us or by another containerd
// client. Owner only.
func (e *Engine) suspended(u *unit) {
	if u.status().State != container.Running {
		return
	}
	u.set(u.status().Suspended())
	e.persist.later(u.id)
	e.publish(u, events.ActionPause, nil)
}

// resumed notes the thaw. Owner only.
func (e *Engine) resumed(u *unit) {
	if u.status().State != container.Paused {
		return
	}
	u.set(u.status().Resumed())
	e.persist.later(u.id)
	e.publish(u, events.ActionUnPause, nil)
}
