package engine

import (
	"context"
	"errors"
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

// Hold pauses those of the containers that run, for somebody who looks at their
// files, until he releases them. What a user paused stays so, and what he thaws
// meanwhile is not paused again. Those that are held when berthd is killed are thawed
// by its next start.
func (e *Engine) Hold(ctx context.Context, refs ...string) (release func() error, err error) {
	var held []*unit.Unit
	release = func() error {
		var errs []error
		for _, u := range held {
			err := u.Do(context.WithoutCancel(ctx), func(ctx context.Context) error { return e.freezer.release(ctx, u) })
			if !errdefs.IsNotFound(err) { // removed meanwhile
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	for _, ref := range refs {
		u, err := e.units.Find(ref)
		if err == nil {
			err = u.Do(ctx, func(ctx context.Context) error { return e.freezer.hold(ctx, u) })
		}
		switch {
		case err == nil:
			held = append(held, u)
		case !errdefs.IsNotFound(err):
			return nil, errors.Join(err, release())
		}
	}
	return release, nil
}

// freezer pauses and thaws, and notes when another containerd client does.
type freezer struct {
	tasks  taskControl
	probes *health.Monitor
	writer *unit.Writer
	events Publisher
	fault  func(name string)
}

// hold pauses a container that runs; that it does so for itself is on disk before.
// Owner only.
func (f *freezer) hold(ctx context.Context, u *unit.Unit) error {
	if s := u.Status(); s.State == container.Running {
		s.Held = true
		u.Set(s)
		if err := f.suspend(ctx, u); err != nil {
			s.Held = false
			u.Set(s)
			f.writer.Later(u.ID)
			return fmt.Errorf("cannot pause container %s: %w", u.ID, err)
		}
	}
	u.Holds++
	f.fault("hold.paused")
	return nil
}

func (f *freezer) suspend(ctx context.Context, u *unit.Unit) error {
	if err := f.writer.Save(ctx, u.ID); err != nil {
		return err
	}
	f.fault("hold.recorded")
	if err := f.tasks.PauseTask(ctx, u.ID); err != nil {
		return err
	}
	f.suspended(u)
	return nil
}

// release thaws a container when the last one who wanted it paused is done. Owner
// only.
func (f *freezer) release(ctx context.Context, u *unit.Unit) error {
	if u.Holds--; u.Holds > 0 {
		return nil
	}
	return f.thaw(ctx, u)
}

// thaw ends a pause that is ours. Owner only.
func (f *freezer) thaw(ctx context.Context, u *unit.Unit) error {
	if s := u.Status(); s.State != container.Paused || !s.Held {
		return nil
	}
	if err := f.tasks.ResumeTask(ctx, u.ID); err != nil {
		return fmt.Errorf("cannot unpause container %s: %w", u.ID, err)
	}
	f.fault("hold.thawed")
	f.resumed(u)
	return nil
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
	held := u.Status().Held
	u.Set(u.Status().Resumed())
	f.probes.Watch(u)
	if held {
		// Before a user can pause it: that one must not be taken for ours. The writer
		// logs a failure, and tries again.
		_ = f.writer.Save(context.Background(), u.ID)
	} else {
		f.writer.Later(u.ID)
	}
	f.events.Publish(u.Event(events.ActionUnPause, nil))
}
