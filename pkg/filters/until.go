package filters

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
)

// Until reads the filter until of a prune; zero when it was not given.
// InvalidArgument: it is no time, or several.
func (a Args) Until(now time.Time) (time.Time, error) {
	switch values := a["until"]; len(values) {
	case 0:
		return time.Time{}, nil
	case 1:
		until, ok := moment(values[0], now)
		if !ok {
			return until, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("failed to parse value as time or duration: %q", values[0]))
		}
		return until, nil
	}
	return time.Time{}, errdefs.ErrInvalidArgument.WithMessage("more than one until filter specified")
}

// layouts are the dates that Docker's clients may send besides Unix timestamps
// and durations (docker container prune, "Filtering"). Without a zone they are
// local.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02",
	"2006-01-02T15:04Z07:00", "2006-01-02T15Z07:00", "2006-01-02Z07:00",
}

// moment reads a point in time: a duration before now, a date, or seconds since
// 1970 with a fraction. 0 is such seconds, as with Docker, and no duration.
func moment(s string, now time.Time) (time.Time, bool) {
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
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
