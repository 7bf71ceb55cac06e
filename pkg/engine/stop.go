package engine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/berth-engine/berth/pkg/cgroups"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/health"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
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
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	err = e.stopper.halt(context.WithoutCancel(ctx), u, o, false)
	if err != nil && !errdefs.IsNotModified(err) {
		return fmt.Errorf("cannot stop container: %s: %w", ref, err)
	}
	return err
}

// Kill sends a signal, SIGKILL when none is given. Conflict: it does not run.
// A signal that ends the container on purpose is the intent to stop.
func (e *Engine) Kill(ctx context.Context, ref, name string) error {
	sig := syscall.SIGKILL
	if name != "" {
		var err error
		if sig, err = parseSignal(name); err != nil {
			return err
		}
		if !signal.ValidSignalForPlatform(sig) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the linux daemon does not support signal %d", sig))
		}
	}
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	return e.stopper.kill(ctx, u, sig)
}

// Restart stops a container, if it runs, and starts it.
func (e *Engine) Restart(ctx context.Context, ref string, o StopOptions) error {
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	if err := e.restart(context.WithoutCancel(ctx), u, o); err != nil {
		return fmt.Errorf("Cannot restart container %s: %w", ref, err)
	}
	return nil
}

func (e *Engine) restart(ctx context.Context, u *unit.Unit, o StopOptions) error {
	if err := e.stopper.halt(ctx, u, o, true); err != nil && !errdefs.IsNotModified(err) {
		return err
	}
	if err := u.Do(ctx, func(ctx context.Context) error {
		if err := startable(u.View()); err != nil {
			return err
		}
		return e.starter.byUser(ctx, u)
	}); err != nil && !errdefs.IsNotModified(err) {
		return err
	}
	e.events.Publish(u.Event(events.ActionRestart, nil))
	return nil
}

// stopper ends containers on request.
type stopper struct {
	tasks      taskControl
	supervisor *supervisor
	probes     *health.Monitor
	writer     *unit.Writer
	events     Publisher
	log        *slog.Logger
	fault      func(name string)
}

// halt asks, waits and insists. keep: also a container that its exit would
// remove is still there then.
func (s *stopper) halt(ctx context.Context, u *unit.Unit, o StopOptions, keep bool) error {
	r := u.View().Record
	var stops uint64
	resting := false
	err := u.Do(ctx, func(ctx context.Context) error {
		status := u.Status()
		if !status.Active() {
			return errdefs.ErrNotModified.WithMessage("container already stopped")
		}
		sig, err := stopSignal(r, o.Signal)
		if err != nil {
			return err
		}
		stops = status.Stops
		status.ByHand = true
		u.Set(status)
		if err := s.writer.Save(ctx, u.ID); err != nil {
			return err
		}
		u.Kept = keep
		s.probes.Unwatch(u.ID)
		s.fault("stop.intent")
		if status.State == container.Restarting {
			s.supervisor.cancelRestart(u)
			s.writer.Later(u.ID)
			resting = true
			return nil
		}
		return s.signal(ctx, u, sig)
	})
	if err != nil {
		return err
	}
	if !resting {
		s.fault("stop.signalled")
		if err := s.awaitStop(ctx, u, stops, stopTimeout(r, o.Timeout)); err != nil {
			return err
		}
	}
	s.events.Publish(u.Event(events.ActionStop, nil))
	return nil
}

// awaitStop waits for the exit that a signal asked for, and then insists.
func (s *stopper) awaitStop(ctx context.Context, u *unit.Unit, stops uint64, timeout time.Duration) error {
	stopped := func(v *unit.View) bool { return v.Status.Stops > stops || v.Status.Gone() }
	if timeout >= 0 {
		wait, cancel := context.WithTimeout(ctx, timeout)
		_, err := u.Until(wait, stopped)
		cancel()
		if err == nil {
			return nil
		}
	} else {
		_, err := u.Until(ctx, stopped)
		return err
	}
	err := u.Do(ctx, func(ctx context.Context) error {
		if stopped(u.View()) {
			return nil // after the timeout; what runs now is another run
		}
		return s.signal(ctx, u, syscall.SIGKILL)
	})
	if err != nil && !stopped(u.View()) {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if _, err := u.Until(wait, stopped); err != nil {
		return fmt.Errorf("cannot stop container: %s: tried to kill container, but did not receive an exit event", u.ID)
	}
	return nil
}

// unhealthy ends a container whose health failed, if it asks for that. The intent
// to stop is not a user's: its exit is answered by a restart (policy).
func (s *stopper) unhealthy(ctx context.Context, u *unit.Unit) {
	r := u.View().Record
	sig, err := stopSignal(r, "")
	if err != nil || !health.Failed(r.Config, u.Status()) {
		return
	}
	var stops uint64
	err = u.Do(ctx, func(ctx context.Context) error {
		status := u.Status()
		if status.State != container.Running || status.ByHand {
			return errdefs.ErrNotModified
		}
		stops = status.Stops
		s.log.Info("container is unhealthy, and restarted", "container", u.ID, "streak", status.Health.FailingStreak)
		return s.signal(ctx, u, sig)
	})
	if err == nil {
		err = s.awaitStop(ctx, u, stops, stopTimeout(r, nil))
	}
	// The exit ends ctx, and with it the wait.
	if err != nil && ctx.Err() == nil && !errdefs.IsNotModified(err) {
		s.log.Error("unhealthy container could not be stopped", "container", u.ID, "error", err)
	}
}

// kill sends a signal, and waits for the end if it is SIGKILL.
func (s *stopper) kill(ctx context.Context, u *unit.Unit, sig syscall.Signal) error {
	var stops uint64
	if err := u.Do(ctx, func(ctx context.Context) error {
		status := u.Status()
		if !status.Active() {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.ID))
		}
		stops = status.Stops
		if status.State == container.Restarting {
			return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is restarting", u.ID))
		}
		if own, err := stopSignal(u.View().Record, ""); sig == syscall.SIGKILL || err == nil && sig == own {
			status.ByHand = true
			u.Set(status)
			if err := s.writer.Save(ctx, u.ID); err != nil {
				return err
			}
		}
		return s.signal(ctx, u, sig)
	}); err != nil || sig != syscall.SIGKILL {
		return err
	}
	// Docker's kill returns once the container is down.
	wait, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	_, err := u.Until(wait, func(v *unit.View) bool { return v.Status.Stops > stops || v.Status.Gone() })
	return err
}

// killForRemoval ends what runs, without the stop signal and its delay. It
// reports whether something ran.
func (s *stopper) killForRemoval(ctx context.Context, u *unit.Unit) (live bool, err error) {
	var stops uint64
	err = u.Do(ctx, func(ctx context.Context) error {
		status := u.Status()
		if !status.Active() {
			return nil
		}
		stops = status.Stops
		status.ByHand = true
		u.Set(status)
		if status.State == container.Restarting {
			s.supervisor.cancelRestart(u)
			return nil
		}
		live = true
		return s.signal(ctx, u, syscall.SIGKILL)
	})
	if err != nil || !live {
		return false, err
	}
	wait, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	if _, err := u.Until(wait, func(v *unit.View) bool { return v.Status.Stops > stops || v.Status.Gone() }); err != nil {
		return true, fmt.Errorf("cannot remove container %q: could not kill container: no exit event within %s", "/"+u.View().Record.Name, killTimeout)
	}
	return true, nil
}

// signal sends a signal to the init process and publishes it. A process that is
// gone already is no error: its exit is on the way. Owner only.
func (s *stopper) signal(ctx context.Context, u *unit.Unit, sig syscall.Signal) error {
	if err := s.tasks.KillTask(ctx, u.ID, sig); ignoreNotFound(err) != nil {
		return fmt.Errorf("container %s: signal %d: %w", u.ID, sig, err)
	}
	// A frozen process receives nothing until it is thawed.
	if status := u.Status(); status.State == container.Paused && status.ByHand {
		if err := s.tasks.ResumeTask(ctx, u.ID); ignoreNotFound(err) != nil {
			s.thaw(u, err)
		}
		u.Set(u.Status().Resumed())
	}
	s.events.Publish(u.Event(events.ActionKill, map[string]string{"signal": fmt.Sprint(int(sig))}))
	return nil
}

// thaw does without an OCI runtime that is gone or broken. containerd goes on to call the
// container paused, which is about to end.
func (s *stopper) thaw(u *unit.Unit, failed error) {
	s.log.Warn("the OCI runtime thaws no container; thawed without it", "container", u.ID, "error", failed)
	hierarchies, err := cgroups.Hierarchies()
	if err != nil {
		s.log.Error("a container could not be thawed", "container", u.ID, "error", err)
		return // SIGKILL comes after the timeout
	}
	cgroups.Thaw(hierarchies, spec.CgroupsPath(u.View().Record.HostConfig, "", u.ID))
}

// parseSignal reads a name or number, in Docker's words when it is neither.
func parseSignal(name string) (syscall.Signal, error) {
	sig, err := signal.ParseSignal(strings.TrimSpace(name))
	if err != nil || sig <= 0 {
		return 0, errdefs.ErrInvalidArgument.WithMessage("invalid signal: " + name)
	}
	return sig, nil
}

// stopSignal is the one that was asked for, or the container's own. Of the latter a number
// may be no signal's, which is known at a stop only: Docker's ends in SIGKILL then.
func stopSignal(r *container.Record, asked string) (syscall.Signal, error) {
	const last = 64 // signal(7), SIGRTMAX
	if asked != "" {
		sig, err := parseSignal(asked)
		if err == nil && sig > last {
			err = errdefs.ErrInvalidArgument.WithMessage("invalid signal: " + asked)
		}
		return sig, err
	}
	if r.Config.StopSignal == "" {
		return syscall.SIGTERM, nil
	}
	sig, err := parseSignal(r.Config.StopSignal)
	if err == nil && sig > last {
		sig = syscall.SIGKILL
	}
	return sig, err
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
