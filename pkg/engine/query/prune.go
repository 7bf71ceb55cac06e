package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
)

// Prunable turns the filters of POST /containers/prune (until, label, label!)
// into a test of containers, which keeps those that run. InvalidArgument:
// there is no such filter, or until is no time.
func Prunable(f filters.Args, now time.Time) (func(*unit.View) bool, error) {
	if err := f.Validate("until", "label", "label!"); err != nil {
		return nil, err
	}
	var until time.Time
	switch values := f["until"]; {
	case len(values) > 1:
		return nil, errdefs.ErrInvalidArgument.WithMessage("more than one until filter specified")
	case len(values) == 1:
		var ok bool
		if until, ok = moment(values[0], now); !ok {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter 'until=%s': not a time", values[0]))
		}
	}
	return func(v *unit.View) bool {
		labels := v.Record.Config.Labels
		return !v.Status.Active() &&
			(until.IsZero() || !v.Record.Created.After(until)) &&
			f.MatchLabels("label", labels) &&
			(!f.Has("label!") || !f.MatchLabels("label!", labels))
	}, nil
}

// layouts are the dates that Docker's clients may send besides Unix timestamps
// and durations (docker container prune, "Filtering"). Without a zone they are
// local.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02",
	"2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00", "2006-01-02Z07:00",
}

// moment reads a point in time: a duration before now, a date, or seconds since
// 1970 with a fraction.
func moment(s string, now time.Time) (time.Time, bool) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), true
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, true
		}
	}
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseUint(fraction+strings.Repeat("0", 9-len(fraction)), 10, 32)
	return time.Unix(seconds, int64(nanos)), err == nil
}
