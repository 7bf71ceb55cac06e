package images

import (
	"fmt"
	"path"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// filter turns Docker's list filters into one test. Errors as of List.
func (v *view) filter(a filters.Args) (func(*target) bool, error) {
	if err := a.Validate("dangling", "label", "label!", "before", "since", "until", "reference"); err != nil {
		return nil, err
	}
	var tests []func(*target) bool
	if a.Has("dangling") {
		want, err := a.Bool("dangling", false)
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(t *target) bool { return t.dangling() == want })
	}
	times, err := v.timeFilters(a)
	if err != nil {
		return nil, err
	}
	tests = append(tests, times...)
	if a.Has("label") || a.Has("label!") {
		tests = append(tests, func(t *target) bool { return t.labelled(a) })
	}
	if a.Has("reference") {
		for _, pattern := range a["reference"] {
			if _, err := path.Match(pattern, ""); err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'reference=%s': %v", pattern, err))
			}
		}
		tests = append(tests, func(t *target) bool { return t.called(a["reference"]) })
	}
	return func(t *target) bool {
		for _, test := range tests {
			if !test(t) {
				return false
			}
		}
		return true
	}, nil
}

// timeFilters are those that compare times of creation.
func (v *view) timeFilters(a filters.Args) ([]func(*target) bool, error) {
	var tests []func(*target) bool
	for _, key := range []string{"before", "since"} {
		for _, ref := range a[key] {
			other, _, err := v.lookup(ref)
			if err != nil {
				return nil, err
			}
			at, before := other.created, key == "before"
			tests = append(tests, func(t *target) bool {
				if before {
					return t.created.Before(at)
				}
				return t.created.After(at)
			})
		}
	}
	until, err := a.Until(time.Now())
	if err != nil {
		return nil, err
	}
	if !until.IsZero() {
		tests = append(tests, func(t *target) bool { return t.created.Before(until) })
	}
	return tests, nil
}

// dangling says whether the target has no name of its own.
func (t *target) dangling() bool {
	for _, img := range t.names {
		if !isDangling(img) {
			return false
		}
	}
	return true
}

// labelled says whether one of the target's images has all labels asked for
// and none of those refused.
func (t *target) labelled(a filters.Args) bool {
	for _, m := range t.manifests {
		if m.config == nil {
			continue
		}
		labels := m.config.Config.Labels
		if !a.MatchLabels("label", labels) {
			continue
		}
		refused := false
		for _, l := range a["label!"] {
			refused = refused || filters.Args{"label": {l}}.MatchLabels("label", labels)
		}
		if !refused {
			return true
		}
	}
	return false
}

// called says whether one of the target's names matches one of the patterns.
func (t *target) called(patterns []string) bool {
	for _, img := range t.names {
		named, err := reference.ParseNormalizedNamed(img.Name)
		if err != nil || isDangling(img) {
			continue
		}
		for _, p := range patterns {
			if ok, err := reference.FamiliarMatch(p, named); err == nil && ok {
				return true
			}
			if ok, err := reference.FamiliarMatch(p, reference.TrimNamed(named)); err == nil && ok {
				return true
			}
		}
	}
	return false
}
