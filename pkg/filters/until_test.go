package filters

import (
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestUntil(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"10m":                       now.Add(-10 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"0s":                        now,
		"0":                         time.Unix(0, 0), // a prune of nothing, and not of everything
		"1600000000":                time.Unix(1600000000, 0),
		"1600000000.5":              time.Unix(1600000000, 500_000_000),
		"2026-01-02T03:04:05Z":      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05.25Z":   time.Date(2026, 1, 2, 3, 4, 5, 250_000_000, time.UTC),
		"2026-01-02T03:04:05+02:00": time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC),
		"2026-01-02":                time.Date(2026, 1, 2, 0, 0, 0, 0, time.Local),
	} {
		if got, err := (Args{"until": {s}}).Until(now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", s, got, err, want)
		}
	}
	if got, err := (Args{}).Until(now); err != nil || !got.IsZero() {
		t.Errorf("none: %v, %v", got, err)
	}
	for want, values := range map[string][]string{
		`failed to parse value as time or duration: "soon"`: {"soon"},
		`failed to parse value as time or duration: ""`:     {""},
		`failed to parse value as time or duration: "1e3"`:  {"1e3"},
		"more than one until filter specified":              {"1h", "2h"},
	} {
		if _, err := (Args{"until": values}).Until(now); !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("%q: %v, want %s", values, err, want)
		}
	}
}

func FuzzMoment(f *testing.F) {
	for _, s := range []string{"", "0", "1h", "-1h", "12.5", "1.-5", "2026-05-04", "9223372036854775807.999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if at, ok := moment(s, time.Unix(0, 0)); !ok && !at.IsZero() && at.UnixNano() < 0 {
			t.Errorf("%q: %v", s, at)
		}
	})
}
