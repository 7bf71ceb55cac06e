package api

import (
	"strconv"
	"strings"
	"time"
)

// Time reads a point in time as Docker's clients send it: seconds since 1970,
// with nanoseconds after a dot; finer digits are dropped. Absent and empty are the
// zero time.
func (r *Request) Time(key string) (time.Time, error) {
	s := r.Query.Get(key)
	if s == "" {
		return time.Time{}, nil
	}
	whole, fraction, _ := strings.Cut(s, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, Invalid("invalid value for %q: %q is not a Unix timestamp", key, s)
	}
	if fraction == "" {
		return time.Unix(seconds, 0), nil
	}
	if !digits(fraction) {
		return time.Time{}, Invalid("invalid value for %q: %q is not a Unix timestamp", key, s)
	}
	fraction = fraction[:min(len(fraction), 9)]
	nanos, err := strconv.ParseInt(fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	if err != nil {
		return time.Time{}, Invalid("invalid value for %q: %q is not a Unix timestamp", key, s)
	}
	return time.Unix(seconds, nanos), nil
}
