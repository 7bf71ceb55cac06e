package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/docker/go-units"
	ctypes "github.com/moby/moby/api/types/container"
)

// List tells about containers, newest first, from memory.
func (e *Engine) List(ctx context.Context, o ListOptions) ([]ctypes.Summary, error) {
	match, err := e.newFilter(ctx, o)
	if err != nil {
		return nil, err
	}
	var views []*view
	for _, u := range e.units.all() {
		views = append(views, u.view())
	}
	slices.SortFunc(views, func(a, b *view) int {
		return cmp.Or(b.record.Created.Compare(a.record.Created), cmp.Compare(a.record.ID, b.record.ID))
	})
	out := make([]ctypes.Summary, 0, len(views))
	for _, v := range views {
		if o.Limit > 0 && len(out) == o.Limit {
			break
		}
		if match(v) {
			out = append(out, e.summary(v))
		}
	}
	return out, nil
}

func (e *Engine) summary(v *view) ctypes.Summary {
	r := v.record
	s := ctypes.Summary{
		ID:              r.ID,
		Names:           []string{"/" + r.Name},
		Image:           r.Config.Image,
		ImageID:         r.Image,
		Command:         commandLine(r),
		Created:         r.Created.Unix(),
		Ports:           ports(v),
		Labels:          r.Config.Labels,
		State:           ctypes.ContainerState(v.status.State),
		Status:          statusText(v.status, time.Now()),
		NetworkSettings: &ctypes.NetworkSettingsSummary{Networks: endpoints(v)},
		Mounts:          r.Mounts,
		Health:          &ctypes.HealthSummary{Status: ctypes.NoHealthcheck},
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	s.HostConfig.Annotations = r.HostConfig.Annotations
	return s
}

// statusText is the STATUS column, in Docker's words.
func statusText(s container.Status, now time.Time) string {
	since := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) }
	switch s.State {
	case container.Running:
		return "Up " + since(s.StartedAt)
	case container.Paused:
		return fmt.Sprintf("Up %s (Paused)", since(s.StartedAt))
	case container.Restarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, since(s.FinishedAt))
	case container.Removing:
		return "Removal In Progress"
	case container.Dead:
		return "Dead"
	case container.Created:
		return "Created"
	}
	return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, since(s.FinishedAt))
}
