package engine

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/moby/moby/api/types/events"
)

// observer learns from containerd what happens to tasks.
type observer struct {
	units      *unit.Registry
	tasks      Tasks
	supervisor *supervisor
	freezer    *freezer
	execs      *exec.Execs
	events     Publisher
	log        *slog.Logger
}

// dispatch hands containerd's events to the owners of the containers.
func (o *observer) dispatch(ctx context.Context, in <-chan runtime.Event) {
	for ev := range in {
		if ev.Kind == runtime.KindResync {
			o.resync(ctx)
			continue
		}
		if u := o.units.Get(ev.ID); u != nil {
			u.Post(func() { o.observed(context.WithoutCancel(ctx), u, ev) })
		}
	}
}

// observed acts on what happened to a task, whoever caused it. Owner only.
func (o *observer) observed(ctx context.Context, u *unit.Unit, ev runtime.Event) {
	switch ev.Kind {
	case runtime.KindExit:
		if ev.ExecID != "" {
			o.execs.Exited(ctx, u, ev)
			return
		}
		// A late event of an earlier run has another process.
		if s := u.Status(); s.Live() && s.Pid == ev.Pid {
			o.supervisor.exited(ctx, u, container.Exit(ev.Exit))
		}
	case runtime.KindOOM:
		// One that comes after the exit tells what the exit found out.
		if s := u.Status(); s.Live() || !s.OOMKilled {
			outOfMemory(u, o.events)
		}
	case runtime.KindPaused, runtime.KindResumed:
		if s := u.Status().State; s == container.Running && ev.Kind == runtime.KindPaused || s == container.Paused && ev.Kind == runtime.KindResumed {
			o.look(ctx, u)
		}
	}
}

// outOfMemory notes that the kernel has killed a process of a container, or would have.
// Owner only.
func outOfMemory(u *unit.Unit, out Publisher) {
	s := u.Status()
	s.OOMKilled = true
	u.Set(s)
	out.Publish(u.Event(events.ActionOOM, nil))
}

// look follows a pause or thaw by another containerd client. The event may be a
// late one of ours, so the task says what holds. Owner only.
func (o *observer) look(ctx context.Context, u *unit.Unit) {
	tasks, err := o.tasks.Tasks(ctx)
	if err != nil {
		o.log.Error("tasks cannot be listed after a pause", "container", u.ID, "error", err)
		return
	}
	for _, t := range tasks {
		switch {
		case t.ID != u.ID:
		case t.Status == runtime.Paused:
			o.freezer.suspended(u)
		case t.Status == runtime.Running:
			o.freezer.resumed(u)
		}
	}
}

// resync looks again at every task after events may have been missed.
func (o *observer) resync(ctx context.Context) {
	tasks, err := o.tasks.Tasks(ctx)
	if err != nil {
		o.log.Error("tasks cannot be listed after a gap in the events", "error", err)
		return
	}
	seen := make(map[string]runtime.Task, len(tasks))
	for _, t := range tasks {
		seen[t.ID] = t
	}
	for _, u := range o.units.All() {
		t, exists := seen[u.ID]
		u.Post(func() { o.compare(context.WithoutCancel(ctx), u, t, exists) })
	}
}

// compare brings one container in line with its task. Owner only.
func (o *observer) compare(ctx context.Context, u *unit.Unit, t runtime.Task, exists bool) {
	s := u.Status()
	switch {
	case !s.Live() && exists && t.Status == runtime.Stopped:
		// containerd died while the end was settled.
		if _, err := o.tasks.DeleteTask(ctx, u.ID); ignoreNotFound(err) != nil {
			o.log.Error("task of a container at rest could not be deleted", "container", u.ID, "error", err)
		}
	case !s.Live() || exists && t.Pid != s.Pid:
		return // the list was made before the current run
	case !exists:
		// The list may be older than the current run: look again, now that no
		// start can be under way.
		if again, err := o.tasks.Tasks(ctx); err != nil || slices.ContainsFunc(again, func(t runtime.Task) bool { return t.ID == u.ID }) {
			return
		}
		o.supervisor.exited(ctx, u, lostExit(s))
	case t.Status == runtime.Stopped:
		o.supervisor.exited(ctx, u, container.Exit(t.Exit))
	case t.Status == runtime.Paused:
		o.freezer.suspended(u)
		o.execs.Compare(ctx, u)
	case t.Status == runtime.Running:
		o.freezer.resumed(u)
		o.execs.Compare(ctx, u)
	}
}

// exitUnknown is the code of an exit that nobody saw, as Docker reports it.
const exitUnknown = 255

// lostExit is the exit of a process whose task is gone.
func lostExit(s container.Status) container.Exit {
	if s.Ending != nil {
		return *s.Ending
	}
	return container.Exit{Code: exitUnknown, At: time.Now()}
}

// publishNetworks sends a connect or disconnect event for each endpoint of a
// container.
func publishNetworks(networks Networks, out Publisher, id string, action events.Action, s container.Sandbox) {
	for name, ep := range s.Endpoints {
		n, err := networks.Lookup(name)
		if err != nil {
			continue // removed meanwhile
		}
		out.Publish(events.Message{
			Type:   events.NetworkEventType,
			Action: action,
			Actor: events.Actor{ID: ep.NetworkID, Attributes: map[string]string{
				"container": id, "name": name, "type": n.Driver,
			}},
			Scope: "local",
		})
	}
}
