package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/docker/go-units"
	ctypes "github.com/moby/moby/api/types/container"
)

// ListOptions are those of GET /containers/json.
type ListOptions struct {
	All     bool
	Size    bool
	Limit   int // last N created, in any state; 0 or less is no limit
	Filters filters.Args
}

// Known finds what filters name.
type Known struct {
	Container func(ref string) (*unit.Unit, error)
	Image     func(ctx context.Context, ref string) (id string, err error)
}

// List tells about the containers that the options choose, newest first.
// InvalidArgument: a filter that is unknown or malformed. NotFound: the
// container of before or since.
func List(ctx context.Context, views []*unit.View, o ListOptions, known Known) ([]ctypes.Summary, error) {
	match, err := newFilter(ctx, o, known)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(views, func(a, b *unit.View) int {
		return cmp.Or(b.Record.Created.Compare(a.Record.Created), cmp.Compare(a.Record.ID, b.Record.ID))
	})
	linked := map[string][]string{} // further names of a container, by ID
	for _, v := range views {
		for _, l := range v.Record.Links {
			linked[l.ID] = append(linked[l.ID], l.Full(v.Record.Name))
		}
	}
	out := make([]ctypes.Summary, 0, len(views))
	for _, v := range views {
		if o.Limit > 0 && len(out) == o.Limit {
			break
		}
		if match(v) {
			s := summary(v)
			s.Names = append(s.Names, linked[s.ID]...)
			out = append(out, s)
		}
	}
	return out, nil
}

func summary(v *unit.View) ctypes.Summary {
	r := v.Record
	s := ctypes.Summary{
		ID:              r.ID,
		Names:           []string{"/" + r.Name},
		Image:           r.Config.Image,
		ImageID:         r.Image,
		Command:         commandLine(r),
		Created:         r.Created.Unix(),
		Ports:           ports(v),
		Labels:          r.Config.Labels,
		State:           ctypes.ContainerState(v.Status.State),
		Status:          statusText(v.Status, time.Now()),
		NetworkSettings: &ctypes.NetworkSettingsSummary{Networks: endpoints(v)},
		Mounts:          r.Mounts,
		Health:          health(v.Status),

		ImageManifestDescriptor: r.Manifest,
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	s.HostConfig.Annotations = r.HostConfig.Annotations
	return s
}

func health(s container.Status) *ctypes.HealthSummary {
	if s.Health == nil {
		return &ctypes.HealthSummary{Status: ctypes.NoHealthcheck}
	}
	return &ctypes.HealthSummary{Status: s.Health.Status, FailingStreak: s.Health.FailingStreak}
}

// statusText is the STATUS column, in Docker's words.
func statusText(s container.Status, now time.Time) string {
	since := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) }
	switch s.State {
	case container.Running:
		switch h := health(s).Status; h {
		case ctypes.NoHealthcheck:
			return "Up " + since(s.StartedAt)
		case ctypes.Starting:
			return fmt.Sprintf("Up %s (health: starting)", since(s.StartedAt))
		default:
			return fmt.Sprintf("Up %s (%s)", since(s.StartedAt), h)
		}
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
