package engine

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/engine/bundle"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/endpoints"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/health"
	"github.com/berth-engine/berth/pkg/engine/supervise"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/trace"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// supervisor acts on the ends of containers: it gives back what they had, and
// has the restart policy decide. It can be told to give up a restart.
type supervisor struct {
	tasks     taskControl
	networks  Networks
	endpoints *endpoints.Endpoints
	bundler   *bundle.Bundler
	starter   *starter
	remover   *remover
	execs     *exec.Execs
	probes    *health.Monitor
	writer    *unit.Writer
	events    Publisher
	log       *slog.Logger
	fault     func(name string)
	// oomKilled asks the kernel, which knows what nobody heard of.
	oomKilled func(*unit.View) bool
}

// exited handles the end of the init process, whoever caused it: streams are
// drained, resources given back, and the restart policy asked. Owner only.
func (s *supervisor) exited(ctx context.Context, u *unit.Unit, exit container.Exit) {
	ctx, end := trace.Start(ctx, "exit")
	defer end()
	v := u.View()
	if !v.Status.Live() {
		return // seen already
	}
	s.probes.Unwatch(u.ID)
	if !v.Status.OOMKilled && s.oomKilled(v) {
		outOfMemory(u, s.events)
		v = u.View()
	}
	removed := v.Record.HostConfig.AutoRemove && !u.Kept
	if !removed {
		ending := v.Status
		ending.Ending = &exit
		u.Set(ending)
		if err := s.writer.Save(ctx, u.ID); err != nil {
			s.log.Error("exit of a container could not be written", "container", u.ID, "error", err)
		}
	}
	s.fault("exit.recorded")
	// Neither needs the other: the process is gone.
	var released sync.WaitGroup
	released.Go(func() { s.release(ctx, v.Record) })
	if _, err := s.tasks.DeleteTask(ctx, u.ID); ignoreNotFound(err) != nil {
		s.log.Error("task of an exited container could not be deleted", "container", u.ID, "error", err)
	}
	s.fault("exit.task")
	u.End()
	sandbox := v.Status.Sandbox
	released.Wait()
	s.fault("exit.released")
	delay, again := restartAfter(u, exit)
	after := v.Status
	after.Health = health.Ceased(after.Health)
	if again {
		u.Set(after.Retrying(exit))
	} else {
		u.Set(after.Ended(exit))
	}
	s.execs.EndAll(u.ID)
	s.events.Publish(u.Event(events.ActionDie, map[string]string{
		"exitCode":     strconv.Itoa(exit.Code),
		"execDuration": strconv.Itoa(int(exit.At.Sub(v.Status.StartedAt).Seconds())),
	}))
	publishNetworks(s.networks, s.events, u.ID, events.ActionDisconnect, sandbox)
	switch {
	case again:
		s.restartIn(u, delay)
	case removed:
		if err := s.remover.now(ctx, u, RemoveOptions{Volumes: true}); err != nil {
			s.log.Error("container could not be removed after its exit", "container", u.ID, "error", err)
		}
		return
	}
	s.writer.Later(u.ID)
}

// release gives back what only a running container needs.
func (s *supervisor) release(ctx context.Context, r *container.Record) {
	if err := s.bundler.Unmount(ctx, r); err != nil {
		s.log.Error("mounts of an exited container could not be released", "container", r.ID, "error", err)
	}
	if r.HostConfig.NetworkMode.IsContainer() {
		s.endpoints.Leave(ctx, r.ID)
		return
	}
	if err := s.endpoints.Release(ctx, r.ID); err != nil {
		s.log.Error("network of an exited container could not be released", "container", r.ID, "error", err)
	}
}

// restartAfter asks the policy about an exit.
func restartAfter(u *unit.Unit, exit container.Exit) (time.Duration, bool) {
	v := u.View()
	return supervise.Decide(policy(v), supervise.Exit{
		Code:     exit.Code,
		ByHand:   v.Status.ByHand,
		Uptime:   exit.At.Sub(v.Status.StartedAt),
		Restarts: v.Status.RestartCount,
		Previous: u.Backoff,
	})
}

// policy is what decides on restarts: the container's own, unless its health
// failed and it asks to be restarted then.
func policy(v *unit.View) ctypes.RestartPolicy {
	if health.Failed(v.Record.Config, v.Status) {
		return ctypes.RestartPolicy{Name: ctypes.RestartPolicyAlways}
	}
	return v.Record.HostConfig.RestartPolicy
}

// restartIn arms the timer of a restart. Owner only.
func (s *supervisor) restartIn(u *unit.Unit, delay time.Duration) {
	u.Backoff = delay
	u.Timer = time.AfterFunc(delay, func() {
		u.Post(func() { s.restartDue(u) })
	})
}

// restartDue starts a container again after its delay. Owner only.
func (s *supervisor) restartDue(u *unit.Unit) {
	if u.Status().State == container.Restarting { // not stopped or started by hand meanwhile
		s.attempt(u)
	}
}

// attempt starts a container. A start that fails counts as an exit: the policy
// decides on it, too. Owner only.
func (s *supervisor) attempt(u *unit.Unit) {
	v := u.View()
	ctx := context.Background()
	err := s.starter.start(ctx, u, "")
	if err == nil {
		return
	}
	code, err := supervise.StartError(err)
	s.log.Warn("container could not be started", "container", u.ID, "error", err)
	failed := v.Status
	failed.Error = err.Error()
	delay, again := supervise.Decide(policy(v), supervise.Exit{
		Code: code, Restarts: v.Status.RestartCount, Previous: u.Backoff,
	})
	if !again {
		u.Set(failed.Failed(code, err.Error()))
		s.writer.Later(u.ID)
		return
	}
	u.Set(failed.Retrying(container.Exit{Code: code, At: time.Now()}))
	s.writer.Later(u.ID)
	s.restartIn(u, delay)
}

// cancelRestart ends the wait for a restart. Owner only.
func (s *supervisor) cancelRestart(u *unit.Unit) {
	if u.Timer != nil {
		u.Timer.Stop()
		u.Timer = nil
	}
	status := u.Status()
	u.Set(status.Ended(container.Exit{Code: status.ExitCode, At: status.FinishedAt}))
}
