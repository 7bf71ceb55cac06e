package catalog

import (
	"fmt"
	"path"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// Filter turns Docker's list filters into one test. Errors as of List.
func (v *View) Filter(a filters.Args) (func(*Target) bool, error) {
	if err := a.Validate("dangling", "label", "label!", "before", "since", "until", "reference"); err != nil {
		return nil, err
	}
	var tests []func(*Target) bool
	if a.Has("dangling") {
		want, err := a.Bool("dangling", false)
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(t *Target) bool { return t.Dangling() == want })
	}
	times, err := v.timeFilters(a)
	if err != nil {
		return nil, err
	}
	tests = append(tests, times...)
	if a.Has("label") || a.Has("label!") {
		tests = append(tests, func(t *Target) bool { return t.labelled(a) })
	}
	if a.Has("reference") {
		for _, pattern := range a["reference"] {
			if _, err := path.Match(pattern, ""); err != nil {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'reference=%s': %v", pattern, err))
			}
		}
		tests = append(tests, func(t *Target) bool { return t.called(a["reference"]) })
	}
	return func(t *Target) bool {
		for _, test := range tests {
			if !test(t) {
				return false
			}
		}
		return true
	}, nil
}

// timeFilters are those that compare times of creation.
func (v *View) timeFilters(a filters.Args) ([]func(*Target) bool, error) {
	var tests []func(*Target) bool
	for _, key := range []string{"before", "since"} {
		for _, ref := range a[key] {
			other, _, err := v.Lookup(ref)
			if err != nil {
				return nil, err
			}
			at, before := other.created, key == "before"
			tests = append(tests, func(t *Target) bool {
				if before {
					return t.created.Before(at)
				}
				return t.created.After(at)
			})
		}
	}
	for _, value := range a["until"] { // a prune takes one alone, a list any number
		until, err := filters.Args{"until": {value}}.Until(time.Now())
		if err != nil {
			return nil, err
		}
		tests = append(tests, func(t *Target) bool { return t.created.Before(until) })
	}
	return tests, nil
}

// Dangling says whether the target has no name of its own.
func (t *Target) Dangling() bool {
	for _, img := range t.Names {
		if !IsDangling(img) {
			return false
		}
	}
	return true
}

// labelled says whether one of the target's images has all labels asked for
// and none of those refused.
func (t *Target) labelled(a filters.Args) bool {
	for _, m := range t.Manifests {
		if m.Config == nil {
			continue
		}
		labels := m.Config.Config.Labels
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
func (t *Target) called(patterns []string) bool {
	for _, img := range t.Names {
		if !IsDangling(img) && called(img.Name, patterns) {
			return true
		}
	}
	return false
}

// called says whether a name, short or whole, matches one of the patterns, either
// with its tag or without.
func called(name string, patterns []string) bool {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return false
	}
	for _, p := range patterns {
		for _, form := range []string{reference.FamiliarString(named), reference.FamiliarName(named), named.String(), named.Name()} {
			if ok, err := path.Match(p, form); err == nil && ok {
				return true
			}
		}
	}
	return false
}
