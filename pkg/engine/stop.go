package engine

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/sys/signal"
)

const (
	defaultStopTimeout = 10 // seconds
	// killTimeout is how long a process may take to die of SIGKILL before the
	// request gives up; it may hang in the kernel.
	killTimeout = 30 * time.Second
)

// Stop asks the process to end, and kills it after the timeout. The intent is
// on disk before the signal is sent. A client that goes away does not keep the
// container alive. NotModified: it does not run.
func (e *Engine) Stop(ctx context.Context, ref string, o StopOptions) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	return e.halt(context.WithoutCancel(ctx), u, o)
}

func (e *Engine) halt(ctx context.Context, u *unit, o StopOptions) error {
	r := u.view().record
	sig, err := stopSignal(r, o.Signal)
	if err != nil {
		return err
	}
	var stops uint64
	resting := false
	err = u.do(ctx, func(ctx context.Context) error {
		s := u.status()
		if !s.Active() {
			return errdefs.ErrNotModified.WithMessage("container already stopped")
		}
		stops = s.Stops
		s.ByHand = true
		u.set(s)
		if err := e.persist.save(ctx, u.id); err != nil {
			return err
		}
		e.FaultPoint("stop.intent")
		if s.State == container.Restarting {
			e.cancelRestart(u)
			e.persist.later(u.id)
			resting = true
			return nil
		}
		return e.signal(ctx, u, sig)
	})
	if err != nil {
		return err
	}
	if !resting {
		e.FaultPoint("stop.signalled")
		if err := e.awaitStop(ctx, u, stops, stopTimeout(r, o.Timeout)); err != nil {
			return err
		}
	}
	e.publish(u, events.ActionStop, nil)
	return nil
}

// awaitStop waits for the exit that a signal asked for, and then insists.
func (e *Engine) awaitStop(ctx context.Context, u *unit, stops uint64, timeout time.Duration) error {
	stopped := func(v *view) bool { return v.status.Stops > stops || v.status.Gone() }
	if timeout >= 0 {
		wait, cancel := context.WithTimeout(ctx, timeout)
		_, err := u.until(wait, stopped)
		cancel()
		if err == nil {
			return nil
		}
	} else {
		_, err := u.until(ctx, stopped)
		return err
	}
	if err := u.do(ctx, func(ctx context.Context) error { return e.signal(ctx, u, syscall.SIGKILL) }); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if _, err := u.until(wait, stopped); err != nil {
		return fmt.Errorf("cannot stop container: %s: tried to kill container, but did not receive an exit event", u.id)
	}
	return nil
}

// Kill sends a signal, SIGKILL when none is given. Conflict: it does not run.
// A signal that ends the container on purpose is the intent to stop.
func (e *Engine) Kill(ctx context.Context, ref, name string) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	sig := syscall.SIGKILL
	if name != "" {
		if sig, err = parseSignal(name); err != nil {
			return err
		}
	}
	var stops uint64
	if err := u.do(ctx, func(ctx context.Context) error {
		s := u.status()
		if !s.Active() {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot kill container: %s: container %s is not running", ref, u.id))
		}
		stops = s.Stops
		if s.State == container.Restarting {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("cannot kill container: %s: container %s is restarting", ref, u.id))
		}
		if own, err := stopSignal(u.view().record, ""); sig == syscall.SIGKILL || err == nil && sig == own {
			s.ByHand = true
			u.set(s)
			if err := e.persist.save(ctx, u.id); err != nil {
				return err
			}
		}
		return e.signal(ctx, u, sig)
	}); err != nil || sig != syscall.SIGKILL {
		return err
	}
	// Docker's kill returns once the container is down.
	wait, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	_, err = u.until(wait, func(v *view) bool { return v.status.Stops > stops || v.status.Gone() })
	return err
}

// signal sends a signal to the init process and publishes it. A process that is
// gone already is no error: its exit is on the way. Owner only.
func (e *Engine) signal(ctx context.Context, u *unit, sig syscall.Signal) error {
	if err := e.Tasks.KillTask(ctx, u.id, sig); ignoreNotFound(err) != nil {
		return fmt.Errorf("cannot kill container: %s: %w", u.id, err)
	}
	// A frozen process receives nothing until it is thawed.
	if s := u.status(); s.State == container.Paused && s.ByHand {
		if err := e.Tasks.ResumeTask(ctx, u.id); ignoreNotFound(err) != nil {
			return err
		}
		u.set(u.status().Resumed())
	}
	e.publish(u, events.ActionKill, map[string]string{"signal": fmt.Sprint(int(sig))})
	return nil
}

// Restart stops a container, if it runs, and starts it.
func (e *Engine) Restart(ctx context.Context, ref string, o StopOptions) error {
	u, err := e.units.find(ref)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := e.halt(ctx, u, o); err != nil && !errdefs.IsNotModified(err) {
		return err
	}
	if err := u.do(ctx, func(ctx context.Context) error {
		if err := startable(u.view()); err != nil {
			return err
		}
		return e.startByUser(ctx, u)
	}); err != nil && !errdefs.IsNotModified(err) {
		return err
	}
	e.publish(u, events.ActionRestart, nil)
	return nil
}

// parseSignal reads a name or number, in Docker's words when it is neither.
func parseSignal(name string) (syscall.Signal, error) {
	sig, err := signal.ParseSignal(strings.TrimSpace(name))
	if err != nil || sig <= 0 || sig > 64 {
		return 0, errdefs.ErrInvalidArgument.WithMessage("invalid signal: " + name)
	}
	return sig, nil
}

func stopSignal(r *container.Record, asked string) (syscall.Signal, error) {
	for _, name := range []string{asked, r.Config.StopSignal} {
		if name != "" {
			return parseSignal(name)
		}
	}
	return syscall.SIGTERM, nil
}

// stopTimeout is negative when the wait has no end.
func stopTimeout(r *container.Record, asked *int) time.Duration {
	seconds := defaultStopTimeout
	if r.Config.StopTimeout != nil {
		seconds = *r.Config.StopTimeout
	}
	if asked != nil {
		seconds = *asked
	}
	return time.Duration(seconds) * time.Second
}
