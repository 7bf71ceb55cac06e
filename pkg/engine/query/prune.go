package query

import (
	"time"

	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/filters"
)

// Prunable turns the filters of POST /containers/prune (until, label, label!)
// into a test of containers, which keeps those that run. InvalidArgument:
// there is no such filter, or until is no time.
func Prunable(f filters.Args, now time.Time) (func(*unit.View) bool, error) {
	if err := f.Validate("until", "label", "label!"); err != nil {
		return nil, err
	}
	until, err := f.Until(now)
	if err != nil {
		return nil, err
	}
	return func(v *unit.View) bool {
		labels := v.Record.Config.Labels
		return !v.Status.Active() &&
			(until.IsZero() || !v.Record.Created.After(until)) &&
			f.MatchLabels("label", labels) &&
			(!f.Has("label!") || !f.MatchLabels("label!", labels))
	}, nil
}
