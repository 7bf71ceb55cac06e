package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/moby/moby/api/types/events"
)

// dispatch hands containerd's events to the owners of the containers.
func (e *Engine) dispatch(ctx context.Context, in <-chan runtime.Event) {
	for ev := range in {
		if ev.Kind == runtime.KindResync {
			e.resync(ctx)
			continue
		}
		if u := e.units.get(ev.ID); u != nil {
			u.owner.Post(func() { e.observed(context.WithoutCancel(ctx), u, ev) })
		}
	}
}

// observed acts on what happened to a task, whoever caused it. Owner only.
func (e *Engine) observed(ctx context.Context, u *unit, ev runtime.Event) {
	switch ev.Kind {
	case runtime.KindExit:
		if ev.ExecID != "" {
			e.execs.exited(ctx, e, u, ev)
			return
		}
		// A late event of an earlier run has another process.
		if s := u.status(); s.Live() && s.Pid == ev.Pid {
			e.exited(ctx, u, container.Exit(ev.Exit))
		}
	case runtime.KindOOM:
		s := u.status()
		s.OOMKilled = true
		u.set(s)
		e.publish(u, events.ActionOOM, nil)
	case runtime.KindPaused:
		e.suspended(u)
	case runtime.KindResumed:
		e.resumed(u)
	}
}

// resync looks again at every task after events may have been missed.
func (e *Engine) resync(ctx context.Context) {
	tasks, err := e.Tasks.Tasks(ctx)
	if err != nil {
		e.Logger.Error("tasks cannot be listed after a gap in the events", "error", err)
		return
	}
	seen := make(map[string]runtime.Task, len(tasks))
	for _, t := range tasks {
		seen[t.ID] = t
	}
	for _, u := range e.units.all() {
		t, exists := seen[u.id]
		u.owner.Post(func() { e.compare(context.WithoutCancel(ctx), u, t, exists) })
	}
}

// compare brings one container in line with its task. Owner only.
func (e *Engine) compare(ctx context.Context, u *unit, t runtime.Task, exists bool) {
	s := u.status()
	switch {
	case !s.Live() || exists && t.Pid != s.Pid:
		return // the list was made before the current run
	case !exists:
		// The list may be older than the current run: look again, now that no
		// start can be under way.
		if again, err := e.Tasks.Tasks(ctx); err != nil || slices.ContainsFunc(again, func(t runtime.Task) bool { return t.ID == u.id }) {
			return
		}
		e.exited(ctx, u, lostExit(s))
	case t.Status == runtime.Stopped:
		e.exited(ctx, u, container.Exit(t.Exit))
	case t.Status == runtime.Paused:
		e.suspended(u)
	case t.Status == runtime.Running:
		e.resumed(u)
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

// publish sends a container's event with Docker's attributes: its labels,
// image, name and what the action adds.
func (e *Engine) publish(u *unit, action events.Action, extra map[string]string) {
	r := u.view().record
	attrs := make(map[string]string, len(r.Config.Labels)+len(extra)+2)
	maps.Copy(attrs, r.Config.Labels)
	attrs["image"] = r.Config.Image
	attrs["name"] = r.Name
	maps.Copy(attrs, extra)
	e.Events.Publish(events.Message{
		Type:   events.ContainerEventType,
		Action: action,
		Actor:  events.Actor{ID: r.ID, Attributes: attrs},
		Scope:  "local",
	})
}

// publishNetworks sends a connect or disconnect event for each endpoint.
func (e *Engine) publishNetworks(u *unit, action events.Action, s container.Sandbox) {
	for name, ep := range s.Endpoints {
		n, err := e.Networks.Lookup(name)
		if err != nil {
			continue // removed meanwhile
		}
		e.Events.Publish(events.Message{
			Type:   events.NetworkEventType,
			Action: action,
			Actor: events.Actor{ID: ep.NetworkID, Attributes: map[string]string{
				"container": u.id, "name": name, "type": n.Driver,
			}},
			Scope: "local",
		})
	}
}
