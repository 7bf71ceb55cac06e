package api

import (
	"strconv"
	"strings"
	"time"
)

// Time reads a point in time as Docker's clients send it: seconds since 1970,
// with up to nine digits after a dot. Absent and empty are the zero time.
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
	if len(fraction) > 9 || !digits(fraction) {
		return time.Time{}, Invalid("invalid value for %q: %q is not a Unix timestamp", key, s)
	}
	nanos, err := strconv.ParseInt(fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	if err != nil {
		return time.Time{}, Invalid("invalid value for %q: %q is not a Unix timestamp", key, s)
	}
	return time.Unix(seconds, nanos), nil
}
