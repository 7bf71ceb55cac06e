package filters

import (
	"testing"
	"time"
)

func FuzzMoment(f *testing.F) {
	for _, s := range []string{"", "1h", "-1h", "12.5", "1.-5", "2026-05-04", "9223372036854775807.999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if at, ok := moment(s, time.Unix(0, 0)); !ok && !at.IsZero() && at.UnixNano() < 0 {
			t.Errorf("%q: %v", s, at)
		}
	})
}
