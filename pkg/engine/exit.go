package engine

import (
	"context"
	"strconv"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/supervise"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/moby/moby/api/types/events"
)

// exited handles the end of the init process, whoever caused it: streams are
// drained, resources given back, and the restart policy asked. Owner only.
func (e *Engine) exited(ctx context.Context, u *unit, exit container.Exit) {
	ctx, end := trace.Start(ctx, "exit")
	defer end()
	v := u.view()
	if !v.status.Live() {
		return // seen already
	}
	if !v.record.HostConfig.AutoRemove {
		ending := v.status
		ending.Ending = &exit
		u.set(ending)
		if err := e.persist.save(ctx, u.id); err != nil {
			e.Logger.Error("exit of a container could not be written", "container", u.id, "error", err)
		}
	}
	e.FaultPoint("exit.recorded")
	if _, err := e.Tasks.DeleteTask(ctx, u.id); ignoreNotFound(err) != nil {
		e.Logger.Error("task of an exited container could not be deleted", "container", u.id, "error", err)
	}
	e.FaultPoint("exit.task")
	close(u.running)
	u.running = nil
	sandbox := v.status.Sandbox
	e.release(ctx, v.record)
	e.FaultPoint("exit.released")
	delay, again := e.restartAfter(u, exit)
	if again {
		u.set(v.status.Retrying(exit))
	} else {
		u.set(v.status.Ended(exit))
	}
	e.execs.dropAll(u.id)
	e.publish(u, events.ActionDie, map[string]string{
		"exitCode":     strconv.Itoa(exit.Code),
		"execDuration": strconv.Itoa(int(exit.At.Sub(v.status.StartedAt).Seconds())),
	})
	e.publishNetworks(u, events.ActionDisconnect, sandbox)
	switch {
	case again:
		e.restartIn(u, delay)
	case v.record.HostConfig.AutoRemove:
		if err := e.removeNow(ctx, u, RemoveOptions{Volumes: true}); err != nil {
			e.Logger.Error("container could not be removed after its exit", "container", u.id, "error", err)
		}
		return
	}
	e.persist.later(u.id)
}

// release gives back what only a running container needs.
func (e *Engine) release(ctx context.Context, r *container.Record) {
	if err := e.unmount(ctx, r); err != nil {
		e.Logger.Error("mounts of an exited container could not be released", "container", r.ID, "error", err)
	}
	if r.HostConfig.NetworkMode.IsContainer() {
		return
	}
	if err := e.Networks.Teardown(ctx, r.ID); err != nil {
		e.Logger.Error("network of an exited container could not be released", "container", r.ID, "error", err)
	}
}

// restartAfter asks the policy about an exit.
func (e *Engine) restartAfter(u *unit, exit container.Exit) (time.Duration, bool) {
	v := u.view()
	return supervise.Decide(v.record.HostConfig.RestartPolicy, supervise.Exit{
		Code:     exit.Code,
		ByHand:   v.status.ByHand,
		Uptime:   exit.At.Sub(v.status.StartedAt),
		Restarts: v.status.RestartCount,
		Previous: u.backoff,
	})
}

// restartIn arms the timer of a restart. Owner only.
func (e *Engine) restartIn(u *unit, delay time.Duration) {
	u.backoff = delay
	u.timer = time.AfterFunc(delay, func() {
		u.owner.Post(func() { e.restartDue(u) })
	})
}

// restartDue starts a container again after its delay. A start that fails
// counts as an exit: the policy decides on it, too. Owner only.
func (e *Engine) restartDue(u *unit) {
	v := u.view()
	if v.status.State != container.Restarting {
		return // stopped or started by hand meanwhile
	}
	ctx := context.Background()
	err := e.start(ctx, u)
	if err == nil {
		return
	}
	code, err := startError(err)
	e.Logger.Warn("restart failed", "container", u.id, "error", err)
	failed := v.status
	failed.Error = err.Error()
	delay, again := supervise.Decide(v.record.HostConfig.RestartPolicy, supervise.Exit{
		Code: code, Restarts: v.status.RestartCount, Previous: u.backoff,
	})
	if !again {
		u.set(failed.Failed(code, err.Error()))
		e.persist.later(u.id)
		return
	}
	u.set(failed.Retrying(container.Exit{Code: code, At: time.Now()}))
	e.persist.later(u.id)
	e.restartIn(u, delay)
}

// cancelRestart ends the wait for a restart. Owner only.
func (e *Engine) cancelRestart(u *unit) {
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	s := u.status()
	u.set(s.Ended(container.Exit{Code: s.ExitCode, At: s.FinishedAt}))
}
