package query

import (
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

func TestPrunable(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		state   container.State
		filters filters.Args
		want    bool
	}{
		{"exited", container.Exited, nil, true},
		{"created", container.Created, nil, true},
		{"its removal failed", container.Dead, nil, true},
		{"running", container.Running, nil, false},
		{"paused", container.Paused, nil, false},
		{"waits for its restart", container.Restarting, nil, false},
		{"older than", container.Exited, filters.Args{"until": {"59m"}}, true},
		{"younger than", container.Exited, filters.Args{"until": {"61m"}}, false},
		{"before a date", container.Exited, filters.Args{"until": {"2026-05-04T11:00:00Z"}}, true},
		{"after a date", container.Exited, filters.Args{"until": {"2026-05-04T10:59:59.9Z"}}, false},
		{"before a timestamp", container.Exited, filters.Args{"until": {"1777892400.000000001"}}, true},
		{"label", container.Exited, filters.Args{"label": {"a=b", "c"}}, true},
		{"another label", container.Exited, filters.Args{"label": {"a=b", "x"}}, false},
		{"without a label", container.Exited, filters.Args{"label!": {"x"}}, true},
		{"without its label", container.Exited, filters.Args{"label!": {"a"}}, false},
		{"without both", container.Exited, filters.Args{"label!": {"a", "x"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			test, err := Prunable(c.filters, now)
			if err != nil {
				t.Fatal(err)
			}
			v := &unit.View{Status: container.Status{State: c.state}, Record: &container.Record{
				Created: now.Add(-time.Hour), Config: &ctypes.Config{Labels: map[string]string{"a": "b", "c": ""}},
			}}
			if got := test(v); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
	for _, f := range []filters.Args{{"status": {"exited"}}, {"until": {"1h", "2h"}}, {"until": {"soon"}}, {"until": {""}}, {"until": {"1.2.3"}}} {
		if _, err := Prunable(f, now); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", f, err)
		}
	}
}
