package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/supervise"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
)

// recover brings record and truth together; it is how every start of berthd
// begins, after a clean end or not. It assumes:
//
//   - A record exists from the commit of create to the commit of remove. What
//     has no record is a leftover and is swept; what has one is kept.
//   - A container runs if and only if containerd has a running (or paused) task
//     of its ID, whatever the record says.
//   - A task that was created and not started is a start that was interrupted
//     before it could be answered: it is taken back.
//   - A task that stopped, or is gone while the record says running, ended while
//     nobody watched: that exit is handled now, restart policy included.
//   - Sandboxes belong to running containers only.
func (e *Engine) recover(ctx context.Context) error {
	if err := e.load(ctx); err != nil {
		return err
	}
	tasks, err := e.Tasks.Tasks(ctx)
	if err != nil {
		return err
	}
	ours, err := e.Tasks.Containers(ctx)
	if err != nil {
		return err
	}
	byID := make(map[string]runtime.Task, len(tasks))
	for _, t := range tasks {
		byID[t.ID] = t
	}
	for _, u := range e.units.all() {
		t, exists := byID[u.id]
		e.adopt(ctx, u, t, exists)
	}
	e.reserve(ctx)
	e.sweepTasks(ctx, ours, byID)
	var live []string
	for _, u := range e.units.all() {
		if u.status().Live() {
			live = append(live, u.id)
		}
	}
	if err := e.Networks.Reconcile(ctx, live); err != nil {
		return err
	}
	if err := e.sweepLeftovers(ctx, ours); err != nil {
		return err
	}
	e.settle(ctx, byID)
	return nil
}

// load reads the records.
func (e *Engine) load(ctx context.Context) error {
	stored, err := e.Store.Containers()
	if err != nil {
		return err
	}
	for _, c := range stored {
		r, s, err := container.Decode(c.Record)
		if err != nil {
			e.Logger.Error("unreadable container record, left as it is", "container", c.ID, "error", err)
			continue
		}
		if err := e.units.reserve(r.Name, r.ID); err != nil {
			return err
		}
		e.units.add(newUnit(r, s))
	}
	return nil
}

// adopt makes the status agree with the task. Exits are settled later, when the
// networks are reconciled.
func (e *Engine) adopt(ctx context.Context, u *unit, t runtime.Task, exists bool) {
	s := u.status()
	if exists && t.Status == runtime.Created {
		if _, err := e.Tasks.DeleteTask(ctx, u.id); ignoreNotFound(err) != nil {
			e.Logger.Error("task of an interrupted start could not be deleted", "container", u.id, "error", err)
		}
		exists = false
	}
	if !exists {
		return
	}
	if !s.Live() || s.Pid != t.Pid { // the start was not written before the end of the last berthd
		if s.Live() {
			s = s.Ended(lostExit(s))
		}
		s = s.Started(t.Pid, processStart(t.Pid), container.Sandbox{})
	}
	if key, made, bound, ok := e.Networks.Restore(u.id); ok {
		s.Sandbox = container.Sandbox{Key: key, Endpoints: made, Ports: bound}
	}
	switch {
	case t.Status == runtime.Paused && s.State == container.Running:
		s = s.Suspended()
	case t.Status == runtime.Running && s.State == container.Paused:
		s = s.Resumed()
	}
	u.running = make(chan struct{})
	u.set(s)
	e.persist.later(u.id)
}

// reserve tells the volumes who uses them, and drops what nobody does.
func (e *Engine) reserve(ctx context.Context) {
	for _, u := range e.units.all() {
		v := u.view()
		if err := e.Volumes.Reserve(u.id, v.record.Config, v.record.HostConfig, v.record.From, v.status.Live()); err != nil {
			e.Logger.Error("volumes of a container could not be reserved", "container", u.id, "error", err)
		}
	}
	if err := e.Volumes.Reconcile(ctx); err != nil {
		e.Logger.Error("volumes that nobody uses could not be unmounted", "error", err)
	}
}

// sweepTasks ends tasks of ours that no record owns: a removal was interrupted.
func (e *Engine) sweepTasks(ctx context.Context, ours []string, tasks map[string]runtime.Task) {
	for _, id := range ours {
		if _, exists := tasks[id]; !exists || e.units.get(id) != nil {
			continue
		}
		if _, err := e.Tasks.DeleteTask(ctx, id); ignoreNotFound(err) != nil {
			e.Logger.Error("task without a record could not be deleted", "container", id, "error", err)
		}
	}
}

// sweepLeftovers drops what interrupted creations and removals left.
func (e *Engine) sweepLeftovers(ctx context.Context, containers []string) error {
	left := map[string]bool{}
	roots, err := e.Tasks.Rootfs(ctx)
	if err != nil {
		return err
	}
	folders, err := os.ReadDir(filepath.Join(e.DataRoot, "containers"))
	if err != nil {
		return err
	}
	for _, id := range append(roots, containers...) {
		left[id] = true
	}
	for _, f := range folders {
		left[f.Name()] = true
	}
	for id := range left {
		if e.units.get(id) == nil {
			e.sweep(ctx, id)
		}
	}
	return nil
}

// settle handles what happened while nobody watched, before anybody can ask, and
// has started what should run.
func (e *Engine) settle(ctx context.Context, tasks map[string]runtime.Task) {
	ctx = context.WithoutCancel(ctx)
	var settled sync.WaitGroup
	units := e.units.all()
	for _, u := range units {
		t, exists := tasks[u.id]
		exists = exists && t.Status != runtime.Created
		settled.Add(1)
		u.owner.Post(func() {
			defer settled.Done()
			e.settleOne(ctx, u, t, exists)
		})
	}
	settled.Wait()
	for _, u := range units {
		u.owner.Post(func() { e.startAtBoot(ctx, u) })
	}
}

func (e *Engine) settleOne(ctx context.Context, u *unit, t runtime.Task, exists bool) {
	s := u.status()
	switch {
	case s.Live() && exists && t.Status == runtime.Stopped:
		e.exited(ctx, u, container.Exit(t.Exit))
	case s.Live() && !exists:
		u.running = make(chan struct{})
		e.exited(ctx, u, lostExit(s))
	case s.Gone(), s.State == container.Exited && u.view().record.HostConfig.AutoRemove:
		if err := e.removeNow(ctx, u, RemoveOptions{Volumes: true}); err != nil {
			e.Logger.Error("interrupted removal could not be finished", "container", u.id, "error", err)
		}
	case s.State == container.Restarting:
		e.restartIn(u, supervise.FirstDelay)
	}
}

// startAtBoot starts a container at rest whose policy says so. Owner only.
func (e *Engine) startAtBoot(ctx context.Context, u *unit) {
	v := u.view()
	s := v.status
	if s.Active() || s.Gone() {
		return
	}
	if !supervise.AtBoot(v.record.HostConfig.RestartPolicy, !s.StartedAt.IsZero(), supervise.Exit{
		Code: s.ExitCode, ByHand: s.ByHand, Restarts: s.RestartCount, Uptime: s.FinishedAt.Sub(s.StartedAt),
	}) {
		return
	}
	if err := e.startByUser(ctx, u); err != nil && !errdefs.IsNotFound(err) {
		e.Logger.Error("container could not be started", "container", u.id, "error", fmt.Errorf("at boot: %w", err))
	}
}
