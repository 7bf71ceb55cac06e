package query

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// psFilters are the keys that GET /containers/json accepts (API 1.55).
var psFilters = []string{
	"ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "label!",
	"name", "network", "publish", "since", "status", "volume",
}

// newFilter turns the options of a list into one predicate.
func newFilter(ctx context.Context, o ListOptions, known Known) (func(*unit.View) bool, error) {
	f := o.Filters
	if err := f.Validate(psFilters...); err != nil {
		return nil, err
	}
	tests := []func(*unit.View) bool{func(v *unit.View) bool { return f.MatchLabels("label", v.Record.Config.Labels) }}
	add := func(key string, build func(filters.Args) (func(*unit.View) bool, error)) error {
		if !f.Has(key) {
			return nil
		}
		test, err := build(f)
		tests = append(tests, test)
		return err
	}
	for key, build := range map[string]func(filters.Args) (func(*unit.View) bool, error){
		"status": byStatus, "exited": byExit, "name": byName, "id": byID, "network": byNetwork,
		"publish": byPublished, "expose": byExposed, "volume": byVolume, "ancestor": byAncestor(ctx, known),
		"before": byAge("before", known), "since": byAge("since", known), "label!": byNoLabel,
		"health": byHealth, "is-task": byTask, "isolation": byNothing,
	} {
		if err := add(key, build); err != nil {
			return nil, err
		}
	}
	// Without -a, -n or a filter that names a state, only what runs is listed.
	if !o.All && o.Limit <= 0 && !f.Has("status") && !f.Has("exited") && !f.Has("before") && !f.Has("since") {
		tests = append(tests, func(v *unit.View) bool { return v.Status.Active() })
	}
	return func(v *unit.View) bool {
		for _, test := range tests {
			if !test(v) {
				return false
			}
		}
		return true
	}, nil
}

func byStatus(f filters.Args) (func(*unit.View) bool, error) {
	for _, s := range f["status"] {
		switch container.State(s) {
		case container.Created, container.Running, container.Paused, container.Restarting, container.Removing, container.Exited, container.Dead:
		default:
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'status=%s'", s))
		}
	}
	return func(v *unit.View) bool { return f.Match("status", string(v.Status.State)) }, nil
}

func byExit(f filters.Args) (func(*unit.View) bool, error) {
	var codes []int
	for _, s := range f["exited"] {
		code, err := strconv.Atoi(s)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'exited=%s'", s))
		}
		codes = append(codes, code)
	}
	return func(v *unit.View) bool {
		return slices.Contains(codes, v.Status.ExitCode) && !v.Status.Active() && !v.Status.StartedAt.IsZero()
	}, nil
}

func byName(f filters.Args) (func(*unit.View) bool, error) {
	var patterns []*regexp.Regexp
	for _, s := range f["name"] {
		p, err := regexp.Compile(s)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'name=%s': %v", s, err))
		}
		patterns = append(patterns, p)
	}
	return func(v *unit.View) bool {
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool {
			return p.MatchString(v.Record.Name) || p.MatchString("/"+v.Record.Name)
		})
	}, nil
}

func byID(f filters.Args) (func(*unit.View) bool, error) {
	return func(v *unit.View) bool {
		return f.MatchFunc("id", func(id string) bool { return strings.HasPrefix(v.Record.ID, id) })
	}, nil
}

func byNetwork(f filters.Args) (func(*unit.View) bool, error) {
	return func(v *unit.View) bool {
		for name, ep := range endpoints(v) {
			if f.MatchFunc("network", func(ref string) bool { return ref == name || ref != "" && strings.HasPrefix(ep.NetworkID, ref) }) {
				return true
			}
		}
		return false
	}, nil
}

// portSet reads the values of publish and expose: port[-port][/protocol].
func portSet(f filters.Args, key string) (map[network.Port]bool, error) {
	set := map[network.Port]bool{}
	for _, s := range f[key] {
		r, err := network.ParsePortRange(s)
		if err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s=%s': %v", key, s, err))
		}
		for p := range r.All() {
			set[p] = true
		}
	}
	return set, nil
}

func byPublished(f filters.Args) (func(*unit.View) bool, error) {
	set, err := portSet(f, "publish")
	return func(v *unit.View) bool {
		for port, bindings := range v.Record.HostConfig.PortBindings {
			if set[port] && len(bindings) > 0 {
				return true
			}
		}
		return false
	}, err
}

func byExposed(f filters.Args) (func(*unit.View) bool, error) {
	set, err := portSet(f, "expose")
	return func(v *unit.View) bool {
		for port := range v.Record.Config.ExposedPorts {
			if set[port] {
				return true
			}
		}
		return false
	}, err
}

func byVolume(f filters.Args) (func(*unit.View) bool, error) {
	return func(v *unit.View) bool {
		for _, m := range v.Record.Mounts {
			if f.MatchFunc("volume", func(s string) bool { return s == m.Name || s == m.Destination }) {
				return true
			}
		}
		return false
	}, nil
}

// byAncestor compares the image, not its descendants: parents are not recorded
// by images that were pulled, so Docker cannot know them, either.
func byAncestor(ctx context.Context, known Known) func(filters.Args) (func(*unit.View) bool, error) {
	return func(f filters.Args) (func(*unit.View) bool, error) {
		ids := map[string]bool{}
		for _, ref := range f["ancestor"] {
			if id, err := known.Image(ctx, ref); err == nil {
				ids[id] = true
			}
		}
		return func(v *unit.View) bool {
			return ids[v.Record.Image] || slices.Contains(f["ancestor"], v.Record.Config.Image)
		}, nil
	}
}

// byAge keeps what was created before, or since, another container.
func byAge(key string, known Known) func(filters.Args) (func(*unit.View) bool, error) {
	return func(f filters.Args) (func(*unit.View) bool, error) {
		var at time.Time
		for _, ref := range f[key] {
			u, err := known.Container(ref)
			if err != nil {
				return nil, err
			}
			at = u.View().Record.Created
		}
		return func(v *unit.View) bool {
			if key == "before" {
				return v.Record.Created.Before(at)
			}
			return v.Record.Created.After(at)
		}, nil
	}
}

func byNoLabel(f filters.Args) (func(*unit.View) bool, error) {
	return func(v *unit.View) bool {
		return !f.MatchFunc("label!", func(l string) bool {
			return filters.Args{"l": {l}}.MatchLabels("l", v.Record.Config.Labels)
		})
	}, nil
}

func byHealth(f filters.Args) (func(*unit.View) bool, error) {
	for _, h := range f["health"] {
		if err := ctypes.ValidateHealthStatus(ctypes.HealthStatus(h)); err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
	}
	return func(v *unit.View) bool { return f.Match("health", string(health(v.Status).Status)) }, nil
}

// byTask matches swarm tasks, which there are none of.
func byTask(f filters.Args) (func(*unit.View) bool, error) {
	tasks, err := f.Bool("is-task", false)
	return func(*unit.View) bool { return !tasks }, err
}

// byNothing ignores a filter of another operating system, as Docker does.
func byNothing(filters.Args) (func(*unit.View) bool, error) {
	return func(*unit.View) bool { return true }, nil
}
