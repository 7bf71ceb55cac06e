package engine

import (
	"context"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/supervise"
	"github.com/berth-engine/berth/pkg/engine/unit"
)

// boot starts what should run and does not, when recovery has settled what was.
type boot struct {
	units      *unit.Registry
	supervisor *supervisor
	due        map[*unit.Unit]container.Status // who is to be started, and as recovery found it
}

// plan notes who is to be started. Nobody can have asked for anything yet.
func (b *boot) plan() {
	b.due = map[*unit.Unit]container.Status{}
	for _, u := range b.units.All() {
		if s := u.Status(); s.State == container.Restarting || startsAtBoot(u.View()) {
			b.due[u] = s
		}
	}
}

// run starts them, after those whose networks, namespaces or links they share. It
// returns when each was tried once, or ctx has ended.
func (b *boot) run(ctx context.Context) {
	deps := map[string][]string{}
	for u := range b.due {
		deps[u.ID] = b.dependencies(u.View().Record)
	}
	for _, level := range supervise.Levels(deps) {
		var tried sync.WaitGroup
		for _, id := range level {
			if u := b.units.Get(id); u != nil {
				tried.Go(func() {
					_ = u.Do(ctx, func(context.Context) error { // fails when the engine ends
						b.start(u)
						return nil
					})
				})
			}
		}
		tried.Wait()
	}
}

// start is a start like that of a user, whose failure is answered like an exit.
// Owner only.
func (b *boot) start(u *unit.Unit) {
	was, s := b.due[u], u.Status()
	if s.State != was.State || s.ByHand != was.ByHand || !s.StartedAt.Equal(was.StartedAt) {
		return // somebody was quicker
	}
	if s.State != container.Restarting {
		s.RestartCount, s.ByHand = 0, false
		u.Backoff, u.Kept = 0, false
		u.Set(s)
	}
	b.supervisor.attempt(u)
}

// dependencies are the containers that r shares something with, by ID.
func (b *boot) dependencies(r *container.Record) (ids []string) {
	hc := r.HostConfig
	for _, l := range r.Links {
		ids = append(ids, l.ID)
	}
	for _, ref := range []string{hc.NetworkMode.ConnectedContainer(), hc.IpcMode.Container(), hc.PidMode.Container()} {
		if u, err := b.units.Find(ref); err == nil {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

// startsAtBoot asks the policy of a container at rest.
func startsAtBoot(v *unit.View) bool {
	s := v.Status
	return !s.Active() && !s.Gone() && supervise.AtBoot(v.Record.HostConfig.RestartPolicy, !s.StartedAt.IsZero(), supervise.Exit{
		Code: s.ExitCode, ByHand: s.ByHand, Restarts: s.RestartCount, Uptime: s.FinishedAt.Sub(s.StartedAt),
	})
}
