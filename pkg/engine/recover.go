package engine

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/endpoints"
	"github.com/berth-engine/berth/pkg/engine/health"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/runtime"
)

// recovery brings record and truth together; it is how every start of berthd
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
//   - A container that is paused and held was paused by the last berthd, which looked
//     at its files: it is thawed. Any other pause is a user's, and stays.
//   - Sandboxes belong to running containers only, or have some in them.
type recovery struct {
	layout.Layout
	units      *unit.Registry
	tasks      Tasks
	networks   Networks
	endpoints  *endpoints.Endpoints
	volumes    volumeLife
	store      Store
	writer     *unit.Writer
	supervisor *supervisor
	freezer    *freezer
	remover    *remover
	probes     *health.Monitor
	log        *slog.Logger
}

func (r *recovery) run(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	tasks, err := r.tasks.Tasks(ctx)
	if err != nil {
		return err
	}
	ours, err := r.tasks.Containers(ctx)
	if err != nil {
		return err
	}
	byID := make(map[string]runtime.Task, len(tasks))
	for _, t := range tasks {
		byID[t.ID] = t
	}
	for _, u := range r.units.All() {
		t, exists := byID[u.ID]
		r.adopt(ctx, u, t, exists)
	}
	r.reserve(ctx)
	r.sweepTasks(ctx, ours, byID)
	if err := r.networks.Reconcile(ctx, r.networked()); err != nil {
		return err
	}
	if err := r.sweepLeftovers(ctx, ours); err != nil {
		return err
	}
	r.settle(ctx, byID)
	return nil
}

// networked are the containers whose sandboxes are in use: they run, or others
// that do are in theirs.
func (r *recovery) networked() (ids []string) {
	for _, u := range r.units.All() {
		v := u.View()
		switch {
		case !v.Status.Live():
		case v.Record.HostConfig.NetworkMode.IsContainer():
			ids = append(ids, r.endpoints.Adopt(v))
		default:
			ids = append(ids, u.ID)
		}
	}
	return ids
}

// load reads the records.
func (r *recovery) load(ctx context.Context) error {
	stored, err := r.store.Containers()
	if err != nil {
		return err
	}
	for _, c := range stored {
		record, s, err := container.Decode(c.Record)
		if err != nil {
			r.log.Error("unreadable container record, left as it is", "container", c.ID, "error", err)
			continue
		}
		if err := r.units.Reserve(record.Name, record.ID); err != nil {
			r.log.Error("container can be found by its ID only", "container", record.ID, "error", err)
		}
		r.units.Add(unit.New(record, s))
	}
	return nil
}

// adopt makes the status agree with the task. Exits are settled later, when the
// networks are reconciled.
func (r *recovery) adopt(ctx context.Context, u *unit.Unit, t runtime.Task, exists bool) {
	s := u.Status()
	if exists && leftover(s, t) {
		if _, err := r.tasks.DeleteTask(ctx, u.ID); ignoreNotFound(err) != nil {
			r.log.Error("leftover task could not be deleted", "container", u.ID, "error", err)
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
		s.Health = health.Begun(u.View().Record.Config, s.Health)
	}
	if key, made, bound, ok := r.networks.Restore(u.ID); ok {
		s.Sandbox = container.Sandbox{Key: key, Endpoints: made, Ports: bound}
	}
	switch {
	case t.Status == runtime.Paused && s.State == container.Running:
		s = s.Suspended()
	case t.Status == runtime.Running && s.State == container.Paused:
		s = s.Resumed()
	case t.Status == runtime.Running:
		s.Held = false // it was killed before it paused
	}
	u.Begin()
	u.Set(s)
	r.writer.Later(u.ID)
}

// leftover says whether a task is none of the container's: that of a start that
// was interrupted before its process ran, of a container that is being removed,
// or of an exit that the record knows.
func leftover(s container.Status, t runtime.Task) bool {
	return t.Status == runtime.Created || s.Gone() ||
		t.Status == runtime.Stopped && !s.Live() && s.FinishedAt.Equal(t.Exit.At)
}

// reserve tells the volumes who uses them, and drops what nobody does.
func (r *recovery) reserve(ctx context.Context) {
	for _, u := range r.units.All() {
		v := u.View()
		if err := r.volumes.Reserve(u.ID, v.Record.Config, v.Record.HostConfig, v.Record.Shared, v.Status.Live()); err != nil {
			r.log.Error("volumes of a container could not be reserved", "container", u.ID, "error", err)
		}
	}
	if err := r.volumes.Reconcile(ctx); err != nil {
		r.log.Error("volumes that nobody uses could not be unmounted", "error", err)
	}
}

// sweepTasks ends tasks of ours that no record owns: a removal was interrupted.
func (r *recovery) sweepTasks(ctx context.Context, ours []string, tasks map[string]runtime.Task) {
	for _, id := range ours {
		if _, exists := tasks[id]; !exists || r.units.Get(id) != nil {
			continue
		}
		if _, err := r.tasks.DeleteTask(ctx, id); ignoreNotFound(err) != nil {
			r.log.Error("task without a record could not be deleted", "container", id, "error", err)
		}
	}
}

// sweepLeftovers drops what interrupted creations and removals left.
func (r *recovery) sweepLeftovers(ctx context.Context, containers []string) error {
	left := map[string]bool{}
	roots, err := r.tasks.Rootfs(ctx)
	if err != nil {
		return err
	}
	folders, err := os.ReadDir(r.Containers())
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
		if r.units.Get(id) == nil {
			r.remover.sweep(ctx, id)
		}
	}
	return nil
}

// settle handles what happened while nobody watched, before anybody can ask.
func (r *recovery) settle(ctx context.Context, tasks map[string]runtime.Task) {
	ctx = context.WithoutCancel(ctx)
	var settled sync.WaitGroup
	units := r.units.All()
	for _, u := range units {
		t, exists := tasks[u.ID]
		exists = exists && !leftover(u.Status(), t)
		settled.Add(1)
		u.Post(func() {
			defer settled.Done()
			r.settleOne(ctx, u, t, exists)
		})
	}
	settled.Wait()
}

func (r *recovery) settleOne(ctx context.Context, u *unit.Unit, t runtime.Task, exists bool) {
	s := u.Status()
	switch {
	case s.Live() && exists && t.Status == runtime.Stopped:
		r.supervisor.exited(ctx, u, container.Exit(t.Exit))
	case s.Live() && !exists:
		u.Begin()
		r.supervisor.exited(ctx, u, lostExit(s))
	case s.Gone(), s.State == container.Exited && u.View().Record.HostConfig.AutoRemove:
		if err := r.remover.now(ctx, u, RemoveOptions{Volumes: true}); err != nil {
			r.log.Error("interrupted removal could not be finished", "container", u.ID, "error", err)
		}
	case s.State == container.Running:
		r.probes.Watch(u)
	case s.State == container.Paused:
		if err := r.freezer.thaw(ctx, u); err != nil {
			r.log.Error("a container that was held stays paused", "container", u.ID, "error", err)
		}
	}
	if u.Timer != nil { // of an exit that was settled: boot restarts in order
		u.Timer.Stop()
		u.Timer = nil
	}
}
